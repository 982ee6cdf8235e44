"""What a Python process in a sandbox has mapped, told by itself."""

from __future__ import annotations

#: Python text that defines ``mapped_files()``: every file of this process with ".so" in it,
#: by the kernel's list, or, in a chroot that has no /proc, by the loader's own.
MAPPED_FILES = """
def mapped_files():
    try:
        with open("/proc/self/maps") as maps:
            return {line.split(None, 5)[5].strip() for line in maps if ".so" in line}
    except FileNotFoundError:
        pass
    import ctypes
    class Info(ctypes.Structure):
        _fields_ = [("address", ctypes.c_void_p), ("name", ctypes.c_char_p)]
    found = set()
    def see(info, size, data):
        found.add(info.contents.name.decode())
        return 0
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(kind(see), None)
    return {path for path in found if ".so" in path}
"""
