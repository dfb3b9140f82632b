//! What a Rust function running on edged sees of its host: the request, the response, settings, the log, the key-value store,
//! and other functions. One file, no crates beside std; Rust 1.63 or later.
//!
//! ```ignore
//! #[path = "edged.rs"]
//! mod edged;
//! use std::io::Write;
//!
//! #[no_mangle]
//! pub extern "C" fn hello() -> i32 {
//!     edged::run(|| {
//!         let name = edged::query("name").unwrap_or_else(|| "world".into());
//!         writeln!(edged::output(), "hello, {name}")?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//!     rustc --edition 2021 --target wasm32-wasip1 -O --crate-type cdylib -C strip=symbols -o app.wasm main.rs
//!
//! State. Every call starts from the program's first state: what a call leaves in a static is gone for the next one. Keep state
//! in [`kv`]. Rust runs nothing before the first call, so nothing that is random is shared by calls: a `HashMap` draws its keys
//! when a call makes its first one, and [`random`] asks the host.
//!
//! Panics fail the call, with their message as the answer's text.
//!
//! On other systems the file compiles too, and every function answers `Kind::Unsupported`, so that what does not
//! need a host can be tested natively.
#![allow(dead_code)] // a program need not use everything

use std::fmt;
use std::io;
use std::time::Duration;

/// What went wrong, the same for every function of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such key, setting, secret, function or object.
    NotFound = -1,
    /// An argument is malformed, such as an empty key.
    Invalid = -2,
    /// The manifest does not grant it.
    Denied = -3,
    /// A key, a value or a body is above its limit.
    TooLarge = -4,
    /// The value is no longer the expected one, another holds the lock, or a wait would never end.
    Conflict = -5,
    /// Not done in time.
    Timeout = -6,
    /// Another node does not answer.
    Unreachable = -7,
    /// A quota of the app or of the call is used up.
    Limit = -8,
    /// This host cannot do it, or the program does not run on one.
    Unsupported = -9,
    /// The host or a called function failed.
    Internal = -10,
    /// The call was cancelled, or the client has gone.
    Cancelled = -11,
}

const KINDS: [(Kind, &str); 11] = [
    (Kind::NotFound, "not found"),
    (Kind::Invalid, "invalid argument"),
    (Kind::Denied, "denied"),
    (Kind::TooLarge, "too large"),
    (Kind::Conflict, "conflict"),
    (Kind::Timeout, "timed out"),
    (Kind::Unreachable, "unreachable"),
    (Kind::Limit, "limit reached"),
    (Kind::Unsupported, "not supported"),
    (Kind::Internal, "internal error of the host"),
    (Kind::Cancelled, "cancelled"),
];

/// An error of the host with the operation that met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    /// "kv get", "call" and the like.
    pub operation: &'static str,
    /// What a called function or the host said; may be empty.
    pub text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = KINDS[(-1 - self.kind as i32) as usize];
        write!(f, "{}: {}", self.operation, name)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        io::Error::new(io::ErrorKind::Other, e)
    }
}

/// What the functions of this module return.
pub type Result<T> = std::result::Result<T, Error>;

/// Declares the imports of module "edged": on Wasm as what they are, elsewhere as functions that say that there is no host.
macro_rules! imports {
    ($(fn $name:ident($($arg:ident: $typ:ty),*) $(-> $result:ty)?;)*) => {
        #[cfg(target_family = "wasm")]
        #[link(wasm_import_module = "edged")]
        extern "C" { $(fn $name($($arg: $typ),*) $(-> $result)?;)* }
        $(#[cfg(not(target_family = "wasm"))]
        unsafe fn $name($(_: $typ),*) $(-> $result)? { $(-9 as $result)? })* // Kind::Unsupported
    };
}

/// The raw imports.
mod host {
    type Bytes = *const u8;
    type Buffer = *mut u8;

    macro_rules! public {
        ($(fn $name:ident($($arg:ident: $typ:ty),*) $(-> $result:ty)?;)*) => {
            mod raw {
                use super::*;
                imports! { $(fn $name($($arg: $typ),*) $(-> $result)?;)* }
                pub mod calls {
                    use super::*;
                    // SAFETY: every caller in this file passes pointers and lengths of slices that live as long as the call, and
                    // the host keeps none of them.
                    $(pub fn $name($($arg: $typ),*) $(-> $result)? { unsafe { super::$name($($arg),*) } })*
                }
            }
            pub use raw::calls::*;
        };
    }

    public! {
        fn input_len() -> i32;
        fn input_read(off: i32, buf: Buffer, cap: usize) -> i32;
        fn output_write(data: Bytes, len: usize) -> i32;
        fn output_status(code: i32) -> i32;
        fn output_header(name: Bytes, name_len: usize, value: Bytes, value_len: usize) -> i32;
        fn error(text: Bytes, len: usize);
        fn meta_get(key: Bytes, key_len: usize, buf: Buffer, cap: usize) -> i32;
        fn log(level: i32, text: Bytes, len: usize);
        fn config_get(key: Bytes, key_len: usize, buf: Buffer, cap: usize) -> i32;
        fn secret_get(key: Bytes, key_len: usize, buf: Buffer, cap: usize) -> i32;
        fn kv_get(key: Bytes, key_len: usize, buf: Buffer, cap: usize) -> i32;
        fn kv_set(key: Bytes, key_len: usize, value: Bytes, value_len: usize) -> i32;
        fn kv_delete(key: Bytes, key_len: usize) -> i32;
        fn kv_cas(key: Bytes, key_len: usize, old: Bytes, old_len: usize, value: Bytes, value_len: usize) -> i32;
        fn kv_scan(prefix: Bytes, prefix_len: usize, cursor: Buffer, buf: Buffer, cap: usize) -> i32;
        fn kv_batch(ops: Bytes, ops_len: usize, out: Buffer, cap: usize) -> i32;
        fn kv_lock(key: Bytes, key_len: usize, ttl_ms: i32) -> i64;
        fn kv_unlock(key: Bytes, key_len: usize, token: i64) -> i32;
        fn call(function: Bytes, function_len: usize, input: Bytes, input_len: usize, buf: Buffer, cap: usize) -> i32;
        fn result_read(off: usize, buf: Buffer, cap: usize) -> i32;
        fn rcall(function: Bytes, function_len: usize, input: Bytes, input_len: usize) -> i64;
        fn rput(data: Bytes, len: usize) -> i64;
        fn rget(object: i64, buf: Buffer, cap: usize, timeout_ms: i32) -> i32;
        fn rlen(object: i64) -> i32;
        fn rwait(objects: *const i64, n: usize, want: usize, timeout_ms: i32, ready: Buffer) -> i32;
        fn rcancel(object: i64) -> i32;
        fn rdrop(object: i64) -> i32;
        fn actor_new(class: Bytes, class_len: usize, key: Bytes, key_len: usize) -> i64;
        fn actor_call(actor: i64, function: Bytes, function_len: usize, input: Bytes, input_len: usize) -> i64;
    }
}

/// Turns a result of the host into a number from 0 on, or an error.
fn check(result: i64, operation: &'static str) -> Result<usize> {
    if result >= 0 {
        return Ok(result as usize);
    }
    let kind = KINDS.get((-1 - result) as usize).map_or(Kind::Internal, |(kind, _)| *kind);
    Err(Error { kind, operation, text: String::new() })
}

/// Reads a value of unknown size; it may change between two calls, hence the loop.
fn read(operation: &'static str, from: impl Fn(*mut u8, usize) -> i32) -> Result<Vec<u8>> {
    let mut buf = vec![0; 512];
    loop {
        let n = check(from(buf.as_mut_ptr(), buf.len()).into(), operation)?;
        let fits = n <= buf.len();
        buf.resize(n, 0);
        if fits {
            return Ok(buf);
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Calls f and turns its error into the result of an entry: 0 for Ok, else 1 after [`fail`] with the error's text. A panic
/// fails the call with its message.
pub fn run(f: impl FnOnce() -> std::result::Result<(), Box<dyn std::error::Error>>) -> i32 {
    std::panic::set_hook(Box::new(|panic| fail(&panic.to_string())));
    match f() {
        Ok(()) => 0,
        Err(e) => {
            fail(&e.to_string());
            1
        }
    }
}

/// Fails the call, whatever the entry returns: the caller gets this text with status 500. The last one counts.
pub fn fail(text: &str) {
    host::error(text.as_ptr(), text.len());
}

/// The whole request body, empty when there is none. Each call copies it anew.
pub fn input() -> Vec<u8> {
    let mut body = vec![0; host::input_len().max(0) as usize];
    let mut have = 0;
    while have < body.len() {
        match host::input_read(have as i32, body[have..].as_mut_ptr(), body.len() - have) {
            n if n > 0 => have += n as usize,
            _ => break,
        }
    }
    body.truncate(have);
    body
}

/// The response body as a writer. Every write is one call to the host: wrap it in a BufWriter for many small ones. Set status and
/// headers before the first write.
pub fn output() -> Output {
    Output
}

/// See [`output`].
pub struct Output;

impl io::Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(check(host::output_write(data.as_ptr(), data.len()).into(), "write output")?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sets the HTTP status of the response; 200 unless set. Invalid outside of 200 to 599, Conflict once the head has been sent.
pub fn status(code: u16) -> Result<()> {
    check(host::output_status(code.into()).into(), "set status").map(drop)
}

/// Adds a response header field; one of that name that is there already stays. Invalid for a malformed name or value, Denied for
/// fields that frame the message.
pub fn set_header(name: &str, value: &str) -> Result<()> {
    check(host::output_header(name.as_ptr(), name.len(), value.as_ptr(), value.len()).into(), "set header").map(drop)
}

/// A fact about the call: "method", "path", "query", "header:NAME", "param:NAME", "trigger", "key", "event_id", "attempt", "app",
/// "function", "node", "route", "path_info", "proto", "host", "remote", "result:status".
pub fn meta(key: &str) -> Option<String> {
    read("meta", |buf, cap| host::meta_get(key.as_ptr(), key.len(), buf, cap)).ok().map(text)
}

/// The HTTP method, upper case; "POST" for triggers other than HTTP.
pub fn method() -> String {
    meta("method").unwrap_or_default()
}

/// The path as the client sent it, still escaped, without the query.
pub fn path() -> String {
    meta("path").unwrap_or_default()
}

/// A request header, its name in any case.
pub fn header(name: &str) -> Option<String> {
    meta(&format!("header:{name}"))
}

/// A named part of the route's pattern.
pub fn param(name: &str) -> Option<String> {
    meta(&format!("param:{name}"))
}

/// The first value of a query parameter, decoded.
pub fn query(name: &str) -> Option<String> {
    let query = meta("query")?;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !key.is_empty() && unescape(key) == name {
            return Some(unescape(value));
        }
    }
    None
}

/// What names the event that started the call, the run of a timer or the change of a key: the same when it comes again, and
/// no other has it. None for other triggers.
pub fn event_id() -> Option<String> {
    meta("event_id")
}

/// Decodes "+" and "%XX" of a query part; a malformed escape stays as it is.
fn unescape(part: &str) -> String {
    let bytes = part.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|c| (*c as char).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', _, _) => out.push(b' '),
            (c, _, _) => out.push(c),
        }
        at += 1;
    }
    text(out)
}

/// A setting of the app; NotFound also when the manifest does not grant it (grants.config).
pub fn config(name: &str) -> Result<String> {
    read("config", |buf, cap| host::config_get(name.as_ptr(), name.len(), buf, cap)).map(text)
}

/// A secret of the app; NotFound also when the manifest does not grant it (grants.secrets).
pub fn secret(name: &str) -> Result<String> {
    read("secret", |buf, cap| host::secret_get(name.as_ptr(), name.len(), buf, cap)).map(text)
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

/// Writes a line to the app's log, which `edged logs APP` shows.
pub fn log(level: Level, text: &str) {
    host::log(level as i32, text.as_ptr(), text.len());
}

/// Fresh random bytes from the host, for secrets too.
pub fn random(buf: &mut [u8]) -> Result<()> {
    #[cfg(target_family = "wasm")]
    {
        #[link(wasm_import_module = "wasi_snapshot_preview1")]
        extern "C" {
            fn random_get(buf: *mut u8, len: usize) -> i32;
        }
        // SAFETY: pointer and length are of a slice that lives as long as the call.
        if unsafe { random_get(buf.as_mut_ptr(), buf.len()) } == 0 {
            return Ok(());
        }
    }
    let _ = buf;
    Err(Error { kind: Kind::Unsupported, operation: "random", text: String::new() })
}

/// The app's space of the key-value store. Keys are 1 to 1,024 bytes, values at most 16 MiB: Invalid, TooLarge. Writes return when
/// they are as durable as the manifest's kv.durability says; Limit when the disk or the quota is full, Timeout at the call's deadline,
/// after which they may or may not have been done.
pub mod kv {
    use super::{check, host, read, Kind, Result};

    /// A value; None when there is no such key.
    pub fn get(key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let key = key.as_ref();
        match read("kv get", |buf, cap| host::kv_get(key.as_ptr(), key.len(), buf, cap)) {
            Err(e) if e.kind == Kind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Writes a value.
    pub fn set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let (key, value) = (key.as_ref(), value.as_ref());
        check(host::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len()).into(), "kv set").map(drop)
    }

    /// Deletes a key and says whether there was one.
    pub fn delete(key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        check(host::kv_delete(key.as_ptr(), key.len()).into(), "kv delete").map(|n| n > 0)
    }

    /// Replaces the value in one step when it is what the caller believes. None as old: there is no such key; None as new: delete.
    /// Conflict when it is something else by now.
    pub fn cas(key: impl AsRef<[u8]>, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        let key = key.as_ref();
        let parts = |value: Option<&[u8]>| value.map_or((std::ptr::null(), usize::MAX), |v| (v.as_ptr(), v.len()));
        let ((old, old_len), (new, new_len)) = (parts(old), parts(new));
        check(host::kv_cas(key.as_ptr(), key.len(), old, old_len, new, new_len).into(), "kv cas").map(drop)
    }

    /// Changes a value that depends on itself: f gets what is there and says what is to be there, again when another call was
    /// faster.
    pub fn update(key: impl AsRef<[u8]>, mut f: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        let key = key.as_ref();
        loop {
            let old = get(key)?;
            let new = f(old.as_deref());
            match cas(key, old.as_deref(), new.as_deref()) {
                Err(e) if e.kind == Kind::Conflict => continue,
                other => return other.map(|()| new),
            }
        }
    }

    /// Walks over the keys that begin with a prefix, in byte order. Keys set or deleted meanwhile may or may not be seen; none is
    /// seen twice. An error ends the walk.
    pub fn scan(prefix: impl AsRef<[u8]>) -> Scan {
        Scan { prefix: prefix.as_ref().to_vec(), cursor: [0; 16], page: vec![0; 4096], have: 0, at: 0, last: false }
    }

    /// See [`scan`].
    pub struct Scan {
        prefix: Vec<u8>,
        cursor: [u8; 16],
        page: Vec<u8>,
        have: usize,
        at: usize,
        last: bool,
    }

    impl Scan {
        fn fill(&mut self) -> Result<()> {
            loop {
                let n = host::kv_scan(self.prefix.as_ptr(), self.prefix.len(), self.cursor.as_mut_ptr(), self.page.as_mut_ptr(), self.page.len());
                let n = check(n.into(), "kv scan")?;
                if n <= self.page.len() {
                    (self.have, self.at, self.last) = (n, 0, self.cursor == [0; 16]);
                    return Ok(());
                }
                self.page.resize(n, 0);
            }
        }

        fn field(&mut self) -> Vec<u8> {
            let field = super::field(&self.page[self.at..]).to_vec();
            self.at += 4 + field.len();
            field
        }
    }

    impl Iterator for Scan {
        type Item = Result<(Vec<u8>, Vec<u8>)>;

        fn next(&mut self) -> Option<Self::Item> {
            while self.at >= self.have {
                if self.last {
                    return None;
                }
                if let Err(e) = self.fill() {
                    (self.have, self.last) = (0, true);
                    return Some(Err(e));
                }
            }
            Some(Ok((self.field(), self.field())))
        }
    }

    /// Several operations as one: all or, when one fails, none. Each sees what those before it did.
    #[derive(Default)]
    pub struct Batch {
        ops: Vec<u8>,
        gets: Vec<bool>,
    }

    /// What an operation of a batch found.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Found {
        /// A get or delete: there was such a key.
        pub found: bool,
        /// The value of a get.
        pub value: Vec<u8>,
    }

    impl Batch {
        /// An empty batch.
        pub fn new() -> Batch {
            Batch::default()
        }

        fn add(&mut self, kind: u8, key: &[u8], a: Option<&[u8]>, b: Option<&[u8]>) -> &mut Batch {
            let absent = if kind == 4 { u32::MAX } else { 0 };
            let length = |v: Option<&[u8]>| v.map_or(absent, |v| v.len() as u32).to_le_bytes();
            self.ops.extend([kind, 0, 0, 0]);
            self.ops.extend((key.len() as u32).to_le_bytes());
            self.ops.extend(length(a));
            self.ops.extend(length(b));
            for part in [Some(key), a, b] {
                self.ops.extend(part.unwrap_or_default());
            }
            self.gets.push(kind == 1);
            self
        }

        /// Reads a key.
        pub fn get(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
            self.add(1, key.as_ref(), None, None)
        }

        /// Writes a value.
        pub fn set(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Batch {
            self.add(2, key.as_ref(), Some(value.as_ref()), None)
        }

        /// Deletes a key.
        pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
            self.add(3, key.as_ref(), None, None)
        }

        /// As [`cas`]; the condition for the whole batch.
        pub fn cas(&mut self, key: impl AsRef<[u8]>, old: Option<&[u8]>, new: Option<&[u8]>) -> &mut Batch {
            self.add(4, key.as_ref(), old, new)
        }

        /// Runs the operations and returns what each found, in order. Conflict when the expectation of a cas does not hold, Limit
        /// for too many operations, TooLarge for too many bytes: nothing has been applied then.
        pub fn run(&self) -> Result<Vec<Found>> {
            if self.ops.is_empty() {
                return Ok(Vec::new());
            }
            let mut out = vec![0; 1024];
            let mut n = check(host::kv_batch(self.ops.as_ptr(), self.ops.len(), out.as_mut_ptr(), out.len()).into(), "kv batch")?;
            while n > out.len() {
                // Applied, but the results did not fit: no operations at all ask for them again.
                out.resize(n, 0);
                n = check(host::kv_batch(std::ptr::null(), 0, out.as_mut_ptr(), out.len()).into(), "kv batch")?;
            }
            let (mut results, mut at) = (Vec::with_capacity(self.gets.len()), 0);
            for get in &self.gets {
                let code = super::number(&out[at..]) as i32;
                let value = super::field(&out[at + 4..]).to_vec();
                at += 8 + value.len();
                results.push(Found { found: if *get { code == 0 } else { code == 1 }, value });
            }
            Ok(results)
        }
    }

    /// A lock that is held.
    pub struct Lease {
        key: Vec<u8>,
        token: i64,
    }

    /// Waits for the lock on a key, which need not have a value, and takes it for ttl, at most 24 hours. The lease ends by itself
    /// after ttl, and not with the call. Timeout when the call's deadline comes first, Limit when too many wait.
    pub fn lock(key: impl AsRef<[u8]>, ttl: std::time::Duration) -> Result<Lease> {
        let key = key.as_ref().to_vec();
        let token = host::kv_lock(key.as_ptr(), key.len(), ttl.as_millis().min(i32::MAX as u128) as i32);
        check(token, "kv lock")?;
        Ok(Lease { key, token })
    }

    impl Lease {
        /// The number of this lease, above zero; a later lease of the same lock has a greater one.
        pub fn token(&self) -> i64 {
            self.token
        }

        /// Gives the lock back. Conflict when the lease had ended already.
        pub fn unlock(self) -> Result<()> {
            check(host::kv_unlock(self.key.as_ptr(), self.key.len(), self.token).into(), "kv unlock").map(drop)
        }
    }
}

/// A little-endian number of the host's packed forms; the host wrote them, so they are complete.
fn number(at: &[u8]) -> u32 {
    u32::from_le_bytes([at[0], at[1], at[2], at[3]])
}

/// Bytes with their length before them.
fn field(at: &[u8]) -> &[u8] {
    &at[4..4 + number(at) as usize]
}

/// Runs another function, "function" of this app or "app/function", with an input, waits for it, and returns its response body,
/// whatever its status (see [`result_status`]). NotFound, Denied (grants.calls, callers), Internal when it failed, with what it
/// said as the error's text, Timeout, Cancelled, TooLarge, Limit, and Conflict when it would wait for itself.
pub fn call(function: &str, input: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let input = input.as_ref();
    take("call", |buf, cap| host::call(function.as_ptr(), function.len(), input.as_ptr(), input.len(), buf, cap))
}

/// The HTTP status of the result that [`call`] or [`Object::get`] gave last.
pub fn result_status() -> Option<u16> {
    meta("result:status")?.parse().ok()
}

/// The result of a call that was started, or bytes that were put: a number that means the same to every function of the app. It does
/// not change, and does not survive a restart of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object(pub i64);

/// Starts a call, as [`call`] would, and does not wait for it. It runs on when this one ends.
pub fn start(function: &str, input: impl AsRef<[u8]>) -> Result<Object> {
    let input = input.as_ref();
    let handle = host::rcall(function.as_ptr(), function.len(), input.as_ptr(), input.len());
    check(handle, "start").map_err(with_text)?;
    Ok(Object(handle))
}

/// Makes an object of bytes, at most 32 MiB: TooLarge. Limit when the app has too many.
pub fn put(data: impl AsRef<[u8]>) -> Result<Object> {
    let data = data.as_ref();
    let handle = host::rput(data.as_ptr(), data.len());
    check(handle, "put")?;
    Ok(Object(handle))
}

impl Object {
    /// Waits until the object is there, until the call's own deadline, and returns its bytes or the error that its call ended with.
    pub fn get(self) -> Result<Vec<u8>> {
        take("get", |buf, cap| host::rget(self.0, buf, cap, -1))
    }

    /// As get, with a timeout; zero does not wait.
    pub fn get_within(self, timeout: Duration) -> Result<Vec<u8>> {
        take("get", |buf, cap| host::rget(self.0, buf, cap, millis(Some(timeout))))
    }

    /// The length in bytes; Timeout while its call runs.
    pub fn len(self) -> Result<usize> {
        check(host::rlen(self.0).into(), "length")
    }

    /// Ends the object's call wherever it is; get gives Cancelled then.
    pub fn cancel(self) -> Result<()> {
        check(host::rcancel(self.0).into(), "cancel").map(drop)
    }

    /// Gives the object up before this call ends. What no call holds is freed; a call that runs goes on.
    pub fn release(self) -> Result<()> {
        check(host::rdrop(self.0).into(), "drop").map(drop)
    }
}

/// Waits until want of the objects are there, or the timeout has passed (None: the call's own deadline), and says which are: fewer
/// than want then. A call that has failed is there.
pub fn wait(objects: &[Object], want: usize, timeout: Option<Duration>) -> Result<Vec<bool>> {
    let handles: Vec<i64> = objects.iter().map(|o| o.0).collect();
    let mut ready = vec![0u8; handles.len()];
    let there = host::rwait(handles.as_ptr(), handles.len(), want, millis(timeout), ready.as_mut_ptr());
    check(there.into(), "wait").map_err(with_text)?;
    Ok(ready.into_iter().map(|flag| flag != 0).collect())
}

/// An instance with state: of a class, a function with `actor: true` in the manifest, there is one for each key. Its statics stay from
/// message to message, and it works on one message at a time, in the order in which they came. The number means the same to every
/// function of the app.
///
/// A program that exports `edged_save` and `edged_load`, without parameters and results, has its actors' state kept over restarts and
/// new versions: what the first writes to [`output`] after a message, the second has as [`input`] in a new instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor(pub i64);

/// The actor of a class and a key, which is made for its first message. Invalid when there is no such class, or the key has not 1 to
/// 512 bytes; Limit.
pub fn actor(class: &str, key: &str) -> Result<Actor> {
    let number = host::actor_new(class.as_ptr(), class.len(), key.as_ptr(), key.len());
    check(number, "actor")?;
    Ok(Actor(number))
}

impl Actor {
    /// Sends a message: function, one of the app's, "" for the class itself, runs in the actor's instance with the input. It does not
    /// wait for the answer. Limit when too many messages wait for the actor.
    pub fn send(self, function: &str, input: impl AsRef<[u8]>) -> Result<Object> {
        let input = input.as_ref();
        let handle = host::actor_call(self.0, function.as_ptr(), function.len(), input.as_ptr(), input.len());
        check(handle, "send").map_err(with_text)?;
        Ok(Object(handle))
    }
}

/// A timeout as the host takes it; what is shorter than a millisecond waits for one.
fn millis(timeout: Option<Duration>) -> i32 {
    timeout.map_or(-1, |t| ((t.as_nanos() + 999_999) / 1_000_000).min(i32::MAX as u128) as i32)
}

/// A result of any size.
fn take(operation: &'static str, from: impl FnOnce(*mut u8, usize) -> i32) -> Result<Vec<u8>> {
    let mut buf = vec![0; 1024];
    let n = check(from(buf.as_mut_ptr(), buf.len()).into(), operation).map_err(with_text)?;
    let mut have = if n <= buf.len() { n } else { 0 };
    buf.resize(n, 0);
    while have < n {
        match host::result_read(have, buf[have..].as_mut_ptr(), n - have) {
            got if got > 0 => have += got as usize,
            _ => return Err(Error { kind: Kind::NotFound, operation, text: "dropped meanwhile".into() }),
        }
    }
    Ok(buf)
}

/// Adds what the host or the callee said to an error of a call.
fn with_text(mut error: Error) -> Error {
    let mut buf = vec![0; 4096];
    let n = host::result_read(0, buf.as_mut_ptr(), buf.len()).max(0);
    buf.truncate(n as usize);
    error.text = text(buf);
    error
}
