//! Declarations of `shim.c`, one to one. The types are opaque: no layout of a C structure is known here.

use std::ffi::{c_char, c_int, c_void};
use std::marker::{PhantomData, PhantomPinned};

macro_rules! opaque {
    ($(#[$doc:meta] $name:ident)*) => {
        $(
            #[$doc]
            #[repr(C)]
            pub(super) struct $name {
                _size: [u8; 0],
                _foreign: PhantomData<(*mut u8, PhantomPinned)>,
            }
        )*
    };
}

opaque! {
    /// The log and the loaded file of one call.
    Call
    /// A compiled stylesheet.
    Sheet
    /// A compiled schema and the document it points into.
    Schema
}

/// Hands the bytes of a file to the call with [`chy_call_put`] and gives 0, or says why not with [`chy_call_refuse`].
pub(super) type Load = unsafe extern "C" fn(user: *mut c_void, call: *mut Call, uri: *const c_char) -> c_int;

unsafe extern "C" {
    pub(super) fn chy_exit_when_exhausted(code: c_int) -> c_int;
    pub(super) fn chy_release_memory();
    pub(super) fn chy_init(load: Load);

    pub(super) fn chy_call_new(user: *mut c_void) -> *mut Call;
    pub(super) fn chy_call_free(call: *mut Call);
    pub(super) fn chy_call_put(call: *mut Call, bytes: *const u8, len: usize) -> c_int;
    pub(super) fn chy_call_refuse(call: *mut Call, why: *const c_char);
    pub(super) fn chy_call_log(call: *const Call, len: *mut usize, dropped: *mut u64) -> *const u8;

    pub(super) fn chy_sheet_compile(call: *mut Call, bytes: *const u8, len: usize, uri: *const c_char) -> *mut Sheet;
    pub(super) fn chy_sheet_free(sheet: *mut Sheet);
    pub(super) fn chy_sheet_method(sheet: *mut Sheet) -> *const c_char;
    pub(super) fn chy_sheet_media_type(sheet: *mut Sheet) -> *const c_char;
    pub(super) fn chy_sheet_encoding(sheet: *mut Sheet) -> *const c_char;
    pub(super) fn chy_sheet_indent(sheet: *mut Sheet) -> c_int;
    pub(super) fn chy_sheet_transform(
        call: *mut Call,
        sheet: *mut Sheet,
        bytes: *const u8,
        len: usize,
        parameters: *mut *const c_char,
        depth_max: c_int,
        operations_max: u64,
        profile: c_int,
        out: *mut *mut u8,
        out_len: *mut usize,
    ) -> c_int;
    pub(super) fn chy_bytes_free(bytes: *mut u8);

    pub(super) fn chy_schema_compile(call: *mut Call, bytes: *const u8, len: usize, uri: *const c_char) -> *mut Schema;
    pub(super) fn chy_schema_free(schema: *mut Schema);
    pub(super) fn chy_schema_validate(call: *mut Call, schema: *const Schema, bytes: *const u8, len: usize) -> c_int;

    pub(super) fn chy_cpu_seconds() -> u64;
}
