/* A 32-bit server: answers each connection to 127.0.0.1:PORT once. With port 0 it only shows that it can run. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(void *) == 4, "to be built with -m32");

int main(int count, char **arguments)
{
    int port = count > 1 ? atoi(arguments[1]) : 0;
    if (port == 0)
        return 0;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8))
        return 1;
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            return 1;
        char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", body[] = "32-bit";
        struct iovec pieces[] = { { head, sizeof head - 1 }, { body, sizeof body - 1 } };
        if (writev(connection, pieces, 2) < 0)
            return 1;
        printf("answered\n");
        fflush(stdout);
        close(connection);
    }
}
