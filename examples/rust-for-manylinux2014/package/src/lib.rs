//! A module without the crate pyo3, so that nothing has to be fetched.

use std::collections::HashMap;
use std::os::raw::{c_char, c_int, c_long, c_void};
use std::ptr::{addr_of_mut, null_mut};

/// CPython's PyModuleDef.
#[repr(C)]
struct Definition {
    head: [isize; 5],
    name: *const c_char,
    doc: *const c_char,
    size: isize,
    rest: [*mut c_void; 5],
}

extern "C" {
    fn PyModule_Create2(definition: *mut Definition, version: c_int) -> *mut c_void;
    fn PyModule_AddIntConstant(module: *mut c_void, name: *const c_char, value: c_long) -> c_int;
}

static mut DEFINITION: Definition = Definition {
    head: [1, 0, 0, 0, 0],
    name: b"demo\0" as *const u8 as *const c_char,
    doc: b"\0" as *const u8 as *const c_char,
    size: -1,
    rest: [null_mut(); 5],
};

/// Panics for what it doesn't know: what unwinds the stack is linked, too.
fn ask(what: &str) -> c_long {
    let known = HashMap::from([("answer", 42)]);
    std::panic::catch_unwind(|| known[what]).unwrap_or(-1)
}

/// Makes the module.
///
/// # Safety
///
/// CPython calls it, once.
#[no_mangle]
pub unsafe extern "C" fn PyInit_demo() -> *mut c_void {
    let demo = PyModule_Create2(addr_of_mut!(DEFINITION), 1013);
    let answer = std::thread::spawn(|| ask("answer")).join().unwrap_or(-2);
    PyModule_AddIntConstant(demo, b"answer\0".as_ptr() as *const c_char, answer);
    PyModule_AddIntConstant(demo, b"other\0".as_ptr() as *const c_char, ask("other"));
    demo
}
