"""The C library's tokenizer from Python, by ctypes: for the scripts that compare and time it."""

import ctypes
from ctypes import POINTER, byref, c_bool, c_char_p, c_int64, c_size_t, c_uint, c_void_p

ADD_SPECIAL, SPECIAL_AS_TEXT = 1, 2


class Ids(ctypes.Structure):
    _fields_ = [("ids", POINTER(c_int64)), ("count", c_int64), ("capacity", c_int64)]


class AlloyError(Exception):
    pass


class Library:
    def __init__(self, path):
        self.lib = lib = ctypes.CDLL(path)
        lib.alloy_error.restype = c_char_p
        lib.alloy_tokenizer_open.argtypes = [POINTER(c_void_p), c_char_p]
        lib.alloy_tokenizer_close.argtypes = [c_void_p]
        lib.alloy_tokenizer_close.restype = None
        lib.alloy_tokenizer_encode.argtypes = [c_void_p, c_char_p, c_size_t, c_uint, POINTER(Ids)]
        lib.alloy_tokenizer_decode.argtypes = [
            c_void_p,
            POINTER(c_int64),
            c_int64,
            c_bool,
            POINTER(c_void_p),
            POINTER(c_size_t),
        ]
        lib.alloy_tokenizer_vocab_size.argtypes = [c_void_p]
        lib.alloy_tokenizer_vocab_size.restype = c_int64
        lib.alloy_tokenizer_id.argtypes = [c_void_p, c_char_p, c_size_t]
        lib.alloy_tokenizer_id.restype = c_int64
        lib.alloy_free.argtypes = [c_void_p]
        lib.alloy_free.restype = None
        lib.alloy_ids_free.argtypes = [POINTER(Ids)]
        lib.alloy_ids_free.restype = None
        lib.alloy_decoder_open.argtypes = [POINTER(c_void_p), c_void_p, c_bool]
        lib.alloy_decoder_close.argtypes = [c_void_p]
        lib.alloy_decoder_close.restype = None
        lib.alloy_decoder_push.argtypes = [c_void_p, c_int64, POINTER(c_void_p), POINTER(c_size_t)]
        lib.alloy_decoder_finish.argtypes = [c_void_p, POINTER(c_void_p), POINTER(c_size_t)]

    def check(self, status):
        if status:
            raise AlloyError(f"status {status}: {self.lib.alloy_error().decode(errors='replace')}")

    def open(self, path):
        return Tokenizer(self, path)


class Tokenizer:
    def __init__(self, library, path):
        self.library = library
        self.handle = c_void_p()
        library.check(library.lib.alloy_tokenizer_open(byref(self.handle), str(path).encode()))

    def close(self):
        self.library.lib.alloy_tokenizer_close(self.handle)
        self.handle = c_void_p()

    def vocab_size(self):
        return self.library.lib.alloy_tokenizer_vocab_size(self.handle)

    def id(self, token):
        """-1: there is none."""
        data = token.encode()
        return self.library.lib.alloy_tokenizer_id(self.handle, data, len(data))

    def encode_only(self, data, flags, ids):
        """Encodes bytes into an Ids; nothing else, for timing."""
        self.library.check(self.library.lib.alloy_tokenizer_encode(self.handle, data, len(data), flags, byref(ids)))

    def encode(self, text, add_special=True, special_as_text=False):
        data = text if isinstance(text, bytes) else text.encode()
        ids = Ids()
        flags = (ADD_SPECIAL if add_special else 0) | (SPECIAL_AS_TEXT if special_as_text else 0)
        try:
            self.encode_only(data, flags, ids)
            return ids.ids[: ids.count]
        finally:
            self.library.lib.alloy_ids_free(byref(ids))

    def decode(self, ids, skip_special=True):
        array = (c_int64 * len(ids))(*ids)
        text, size = c_void_p(), c_size_t()
        self.library.check(
            self.library.lib.alloy_tokenizer_decode(
                self.handle, array, len(ids), skip_special, byref(text), byref(size)
            )
        )
        try:
            return ctypes.string_at(text.value, size.value).decode()
        finally:
            self.library.lib.alloy_free(text)

    def stream(self, ids, skip_special=True):
        """The texts that a streaming decoder gives, one an id and the rest; each must be whole characters."""
        lib, decoder = self.library.lib, c_void_p()
        text, size = c_void_p(), c_size_t()
        self.library.check(lib.alloy_decoder_open(byref(decoder), self.handle, skip_special))
        try:
            pieces = []
            for id in ids:
                self.library.check(lib.alloy_decoder_push(decoder, id, byref(text), byref(size)))
                pieces.append(ctypes.string_at(text.value, size.value).decode())
            self.library.check(lib.alloy_decoder_finish(decoder, byref(text), byref(size)))
            pieces.append(ctypes.string_at(text.value, size.value).decode())
            return pieces
        finally:
            lib.alloy_decoder_close(decoder)
