"""sendmmsg and recvmmsg, which Python does not have."""

import ctypes
import os


class Segment(ctypes.Structure):
    """struct iovec"""

    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Header(ctypes.Structure):
    """struct mmsghdr: a struct msghdr and the length that was moved."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("segments", ctypes.POINTER(Segment)),
        ("segment_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        # Where a struct msghdr ends.
        ("padding", ctypes.c_int),
        ("length", ctypes.c_uint),
    ]


libc = ctypes.CDLL(None, use_errno=True)
MSG_WAITFORONE = 0x10000


def headers(buffers):
    """One message of one segment for each buffer. The caller keeps the buffers."""
    made = (Header * len(buffers))()
    for header, buffer in zip(made, buffers):
        segment = Segment(ctypes.cast(buffer, ctypes.c_void_p), len(buffer))
        header.segments = ctypes.pointer(segment)
        header.segment_count = 1
    return made


def check(count):
    if count < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return count


def send(fd, pieces):
    """Sends each piece as a message; tells the bytes that went."""
    arrays = [(ctypes.c_char * len(piece)).from_buffer_copy(piece) for piece in pieces]
    made = headers(arrays)
    count = check(libc.sendmmsg(fd, made, len(made), 0))
    return sum(header.length for header in made[:count])


def receive(fd, buffers):
    """Receives into the buffers, a message each; gives the parts that came."""
    arrays = [(ctypes.c_char * len(buffer)).from_buffer(buffer) for buffer in buffers]
    made = headers(arrays)
    count = check(libc.recvmmsg(fd, made, len(made), MSG_WAITFORONE, None))
    return [array.raw[: header.length] for array, header in zip(arrays, made[:count])]
