//! Text from C and text to C: the only place where its pointers are followed.

use std::ffi::{CStr, CString, c_char};

use crate::failure::Failure;

/// The text that C passes as the argument of this name.
///
/// # Safety
/// `text` is NULL, or points to bytes that end with a NUL and that nobody changes while the borrow lasts.
pub(crate) unsafe fn given<'a>(text: *const c_char, argument: &str) -> Result<&'a str, Failure> {
    // SAFETY: as the caller promises.
    unsafe { perhaps(text, argument)? }.ok_or_else(|| Failure::argument(argument, "is NULL"))
}

/// The same, where NULL means that there is none.
///
/// # Safety
/// As for [`given`].
pub(crate) unsafe fn perhaps<'a>(text: *const c_char, argument: &str) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and so, by the caller's promise, text that ends with a NUL and stays as it is.
    let text = unsafe { CStr::from_ptr(text) };
    let bad = |error: std::str::Utf8Error| {
        Failure::argument(argument, format!("is not UTF-8: the byte at {} is wrong", error.valid_up_to()))
    };
    text.to_str().map(Some).map_err(bad)
}

/// Puts text where C wants it; nothing where it wants none. It is C's from then on, until [`free`].
///
/// # Safety
/// `out` is NULL, or points to a place that may be written to, aligned for a pointer.
pub(crate) unsafe fn give(out: *mut *mut c_char, text: Option<String>) {
    if out.is_null() {
        return;
    }
    // JSON has no NUL in it.
    let text = text.map(|text| CString::new(text).unwrap_or_default());
    let text = text.map_or(std::ptr::null_mut(), CString::into_raw);
    // SAFETY: not NULL, and so, by the caller's promise, a place for a pointer.
    unsafe { out.write(text) };
}

/// Takes text back that [`give`] gave.
///
/// # Safety
/// `text` is NULL, or came from [`give`] and was not taken back before.
pub(crate) unsafe fn free(text: *mut c_char) {
    if text.is_null() {
        return;
    }
    // SAFETY: by the caller's promise it was made by `CString::into_raw`, and is nobody else's.
    drop(unsafe { CString::from_raw(text) });
}
