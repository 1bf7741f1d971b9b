//! Tasks that a server makes for one request each, which are known by the code of their coroutine.

use super::objects::{Modules, Objects};

/// Where a server has it: in a module, and there in a type or not.
struct Place {
    module: &'static [u8],
    of: Option<&'static [u8]>,
    function: &'static [u8],
}

/// A process imports one of them.
const SERVERS: [Place; 4] = [
    uvicorn(b"uvicorn.protocols.http.httptools_impl"),
    uvicorn(b"uvicorn.protocols.http.h11_impl"),
    uvicorn(b"uvicorn.protocols.http.zttp_impl"),
    Place { module: b"hypercorn.asyncio.task_group", of: None, function: b"_handle" },
];

const fn uvicorn(module: &'static [u8]) -> Place {
    Place { module, of: Some(b"RequestResponseCycle"), function: b"run_asgi" }
}

/// From a coroutine to its code, and that of such a coroutine; `None` where there is none.
pub(super) fn find(objects: Objects<'_>, modules: &Modules) -> Option<(u32, u64)> {
    let coroutine_code = objects.layout.members?.coroutine_code;
    let code = |place: &Place| {
        let module = modules.get(place.module)?;
        objects.code(match place.of {
            Some(name) => objects.member(objects.variable(module, name)?, place.function)?,
            None => objects.variable(module, place.function)?,
        })
    };
    SERVERS.iter().find_map(code).map(|code| (coroutine_code, code))
}
