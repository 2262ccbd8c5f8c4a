//! Owners of what the shim makes: a compiled stylesheet and a compiled schema, each with the files it came from.
//!
//! Thread argument: libxml2 and libxslt keep error handlers, loaders and (for `xsl:number`) scratch
//! data in process-wide variables. So every call into the shim, freeing included, runs under [`LIBXSLT`];
//! within the lock there is one thread only, and no pointer is used outside it.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use super::raw;
use crate::transform::diagnostic::{Diagnostic, Log};
use crate::transform::modules::Modules;

static LIBXSLT: Mutex<()> = Mutex::new(());
static INIT: Once = Once::new();

/// A compiled stylesheet with the files it was compiled from.
pub(in crate::transform) struct Sheet {
    raw: NonNull<raw::Sheet>,
    modules: Modules,
    declared: Vec<String>,
}

/// A compiled schema.
pub(in crate::transform) struct Schema {
    raw: NonNull<raw::Schema>,
    modules: Modules,
}

// SAFETY: neither library keeps a thread-local reference to a compiled sheet or schema, and every
// use of the pointer happens under `LIBXSLT`. Not `Sync`: nobody needs it.
unsafe impl Send for Sheet {}
// SAFETY: as above.
unsafe impl Send for Schema {}

/// What bounds one run of a stylesheet, besides the limits of the process.
#[derive(Debug, Clone, Copy)]
pub(in crate::transform) struct RunLimits {
    /// Deepest nesting of templates.
    pub(in crate::transform) depth_max: u32,
    /// Most steps of templates, and most steps of XPath.
    pub(in crate::transform) operations_max: u64,
}

/// The result of a run.
#[derive(Debug)]
pub(in crate::transform) struct Output {
    /// The document, serialised as `xsl:output` says.
    pub(in crate::transform) bytes: Vec<u8>,
    /// The words of `xsl:message`, and warnings.
    pub(in crate::transform) log: Log,
}

/// Why there is no result.
#[derive(Debug)]
pub(in crate::transform) enum Fault {
    /// The document could not be read.
    Input(Log),
    /// The stylesheet failed, or stopped itself.
    Run(Log),
    /// The document does not follow the schema.
    Invalid(Log),
    /// There is no memory for the result.
    Exhausted,
}

/// Ends the process with this code when an allocation of the C libraries fails.
///
/// Has an effect only before the first stylesheet or schema is compiled; then every later failure to
/// allocate is certain to be seen as one.
pub(in crate::transform) fn exit_when_exhausted(code: i32) {
    let _lock = LIBXSLT.lock().unwrap_or_else(PoisonError::into_inner);
    if !INIT.is_completed() {
        // SAFETY: libxml2 has allocated nothing yet, as its documentation demands of this call.
        unsafe { raw::chy_exit_when_exhausted(code) };
    }
}

/// Returns freed memory to the system.
pub(in crate::transform) fn release_memory() {
    // SAFETY: asks the allocator, which locks itself.
    unsafe { raw::chy_release_memory() };
}

/// Whole seconds of processor time that this process has used.
pub(in crate::transform) fn cpu_seconds() -> u64 {
    // SAFETY: reads a clock; no memory of ours is involved.
    unsafe { raw::chy_cpu_seconds() }
}

impl Sheet {
    /// Compiles the main file of `modules`; `xsl:import` and `xsl:include` may reach the others, and so may
    /// `document()` where it names a file in so many words.
    ///
    /// # Errors
    /// What is wrong with the stylesheet, with file and line.
    pub(in crate::transform) fn compile(mut modules: Modules) -> Result<Self, Log> {
        let (uri, bytes) = modules.main();
        let call = Call::begin(&mut modules);
        // SAFETY: `bytes` and `uri` outlive the call; the shim copies what it keeps.
        let made = unsafe { raw::chy_sheet_compile(call.raw(), bytes.as_ptr(), bytes.len(), uri.as_ptr()) };
        let raw = call.check(made)?;
        let declared = call.log().declared;
        drop(call);
        modules.fetch_named_documents();
        modules.seal();
        Ok(Self { raw, modules, declared })
    }

    /// The names of the parameters at the top level, `{uri}name` where they are in a namespace.
    pub(in crate::transform) fn declared(&self) -> &[String] {
        &self.declared
    }

    /// The `encoding` of `xsl:output`, if the stylesheet names one.
    pub(in crate::transform) fn encoding(&self) -> Option<String> {
        // SAFETY: as in `method`.
        locked(|| unsafe { copy_text(raw::chy_sheet_encoding(self.raw.as_ptr())) })
    }

    /// Whether `xsl:output` asks for indentation.
    pub(in crate::transform) fn indents(&self) -> bool {
        // SAFETY: the sheet is alive.
        locked(|| unsafe { raw::chy_sheet_indent(self.raw.as_ptr()) }) == 1
    }

    /// The `method` of `xsl:output`, if the stylesheet names one.
    pub(in crate::transform) fn method(&self) -> Option<String> {
        // SAFETY: the sheet is alive; the returned text belongs to it and is copied at once.
        locked(|| unsafe { copy_text(raw::chy_sheet_method(self.raw.as_ptr())) })
    }

    /// The `media-type` of `xsl:output`, if the stylesheet names one.
    pub(in crate::transform) fn media_type(&self) -> Option<String> {
        // SAFETY: as in `method`.
        locked(|| unsafe { copy_text(raw::chy_sheet_media_type(self.raw.as_ptr())) })
    }

    /// The files the stylesheet was compiled from.
    pub(in crate::transform) fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Runs the stylesheet over one document. Parameters are texts, never XPath. With `profile` the log says what each
    /// template cost.
    ///
    /// # Errors
    /// [`Fault::Input`] or [`Fault::Run`], with what was captured.
    pub(in crate::transform) fn transform(
        &mut self,
        input: &[u8],
        parameters: &Parameters,
        limits: RunLimits,
        profile: bool,
    ) -> Result<Output, Fault> {
        let mut pointers = parameters.pointers();
        let (mut out, mut out_len) = (ptr::null_mut(), 0);
        let call = Call::begin(&mut self.modules);
        // SAFETY: all pointers are valid for the call; `pointers` ends with a null pointer and its
        // texts live in `parameters`.
        let code = unsafe {
            raw::chy_sheet_transform(
                call.raw(),
                self.raw.as_ptr(),
                input.as_ptr(),
                input.len(),
                pointers.as_mut_ptr(),
                c_int::try_from(limits.depth_max).unwrap_or(c_int::MAX),
                limits.operations_max,
                c_int::from(profile),
                &raw mut out,
                &raw mut out_len,
            )
        };
        call.check_code(code)?;
        // SAFETY: on success the shim hands over `out_len` bytes at `out`, or a null pointer for none.
        let bytes = unsafe { take_bytes(out, out_len) }.ok_or(Fault::Exhausted)?;
        Ok(Output { bytes, log: call.log() })
    }
}

impl Schema {
    /// Compiles the main file of `modules`; `xs:include` and `xs:import` may reach the others.
    ///
    /// # Errors
    /// What is wrong with the schema, with file and line.
    pub(in crate::transform) fn compile(mut modules: Modules) -> Result<Self, Log> {
        let (uri, bytes) = modules.main();
        let call = Call::begin(&mut modules);
        // SAFETY: as in `Sheet::compile`.
        let made = unsafe { raw::chy_schema_compile(call.raw(), bytes.as_ptr(), bytes.len(), uri.as_ptr()) };
        let raw = call.check(made)?;
        drop(call);
        modules.seal();
        Ok(Self { raw, modules })
    }

    /// The files the schema was compiled from.
    pub(in crate::transform) fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Checks one document.
    ///
    /// # Errors
    /// [`Fault::Input`] when it is not XML, [`Fault::Invalid`] when it does not follow the schema.
    pub(in crate::transform) fn validate(&mut self, document: &[u8]) -> Result<(), Fault> {
        let call = Call::begin(&mut self.modules);
        // SAFETY: the schema is alive and `document` outlives the call.
        let code =
            unsafe { raw::chy_schema_validate(call.raw(), self.raw.as_ptr(), document.as_ptr(), document.len()) };
        call.check_code(code)
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        // SAFETY: we are the sole owner, and `compile` made it.
        locked(|| unsafe { raw::chy_sheet_free(self.raw.as_ptr()) });
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // SAFETY: we are the sole owner, and `compile` made it.
        locked(|| unsafe { raw::chy_schema_free(self.raw.as_ptr()) });
    }
}

/// Stylesheet parameters in the form C reads.
#[derive(Debug, Default)]
pub(in crate::transform) struct Parameters(Vec<CString>);

impl Parameters {
    /// Names and values in turn.
    ///
    /// # Errors
    /// The name of a parameter that holds a NUL character.
    pub(in crate::transform) fn new(parameters: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut texts = Vec::with_capacity(parameters.len() * 2);
        for (name, value) in parameters {
            for text in [name, value] {
                texts.push(CString::new(text.as_str()).map_err(|_| name.clone())?);
            }
        }
        Ok(Self(texts))
    }

    fn pointers(&self) -> Vec<*const c_char> {
        self.0.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    }
}

/// One call into the shim: holds the lock, the log, and the loader's files.
struct Call<'a> {
    raw: NonNull<raw::Call>,
    _modules: PhantomData<&'a mut Modules>,
    _lock: MutexGuard<'static, ()>,
}

impl<'a> Call<'a> {
    fn begin(modules: &'a mut Modules) -> Self {
        let lock = LIBXSLT.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: runs once, under the lock, before anything else of the libraries is used.
        INIT.call_once(|| unsafe { raw::chy_init(load) });
        // SAFETY: `modules` stays exclusively borrowed until the call is freed, so the loader may use it.
        let raw = unsafe { raw::chy_call_new(ptr::from_mut(modules).cast()) };
        match NonNull::new(raw) {
            Some(raw) => Self { raw, _modules: PhantomData, _lock: lock },
            None => std::process::abort(),
        }
    }

    fn raw(&self) -> *mut raw::Call {
        self.raw.as_ptr()
    }

    /// A pointer the shim made, or the log that says why it made none.
    fn check<T>(&self, made: *mut T) -> Result<NonNull<T>, Log> {
        NonNull::new(made).ok_or_else(|| self.log())
    }

    /// The shim's outcome as a result.
    fn check_code(&self, code: c_int) -> Result<(), Fault> {
        match code {
            0 => Ok(()),
            1 => Err(Fault::Input(self.log())),
            4 => Err(Fault::Invalid(self.log())),
            3 => {
                let mut log = self.log();
                log.diagnostics.push(Diagnostic::new("the result cannot be written in the encoding of xsl:output"));
                Err(Fault::Run(log))
            }
            _ => Err(Fault::Run(self.log())),
        }
    }

    fn log(&self) -> Log {
        let (mut len, mut dropped) = (0, 0);
        // SAFETY: the call is alive; the bytes belong to it and are copied before it ends.
        let records = unsafe {
            let bytes = raw::chy_call_log(self.raw(), &raw mut len, &raw mut dropped);
            if bytes.is_null() { Vec::new() } else { std::slice::from_raw_parts(bytes, len).to_vec() }
        };
        Log::read(&records, dropped)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // SAFETY: `begin` made it, and the lock is still held.
        unsafe { raw::chy_call_free(self.raw.as_ptr()) };
    }
}

/// The loader the shim calls for every file a stylesheet or schema names.
unsafe extern "C" fn load(user: *mut c_void, call: *mut raw::Call, uri: *const c_char) -> c_int {
    // A panic must not unwind into C.
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `user` is the `Modules` that `Call::begin` borrowed exclusively, `uri` a C string.
        let (modules, uri) = unsafe { (&mut *user.cast::<Modules>(), CStr::from_ptr(uri)) };
        let bytes = match modules.fetch(&uri.to_string_lossy()) {
            Ok(bytes) => bytes,
            Err(refused) => {
                let why = CString::new(refused.to_string()).unwrap_or_default();
                // SAFETY: the shim copies the text.
                unsafe { raw::chy_call_refuse(call, why.as_ptr()) };
                return None;
            }
        };
        // SAFETY: the shim copies the bytes.
        let kept = unsafe { raw::chy_call_put(call, bytes.as_ptr(), bytes.len()) };
        (kept == 0).then_some(())
    }));
    match loaded {
        Ok(Some(())) => 0,
        Ok(None) | Err(_) => -1,
    }
}

fn locked<T>(run: impl FnOnce() -> T) -> T {
    let _lock = LIBXSLT.lock().unwrap_or_else(PoisonError::into_inner);
    run()
}

/// # Safety
/// `text` is null or a C string that lives at least until this returns.
unsafe fn copy_text(text: *const c_char) -> Option<String> {
    // SAFETY: the caller vouches for it.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The bytes as ours; `None` when there is no memory for them.
///
/// # Safety
/// `bytes` is null, or points to `len` bytes that the shim allocated and gave up.
unsafe fn take_bytes(bytes: *mut u8, len: usize) -> Option<Vec<u8>> {
    if bytes.is_null() {
        return Some(Vec::new());
    }
    let mut copy = Vec::new();
    let reserved = copy.try_reserve_exact(len);
    // SAFETY: the caller vouches for it; the bytes are copied before they are freed.
    unsafe {
        if reserved.is_ok() {
            copy.extend_from_slice(std::slice::from_raw_parts(bytes, len));
        }
        raw::chy_bytes_free(bytes);
    }
    reserved.ok().map(|()| copy)
}
