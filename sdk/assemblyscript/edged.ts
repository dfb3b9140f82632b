// What an AssemblyScript function running on edged sees of its host: the request, the response, settings, the log, the key-value
// store, and other functions. One file; AssemblyScript 0.27 or later.
//
//     import * as edged from "./edged";
//
//     export function hello(): i32 {
//       const name = edged.query("name");
//       return edged.print("hello, " + (name !== null ? name : "world") + "\n");
//     }
//
//     asc main.ts -O --runtime incremental --exportStart _initialize --use abort=edged/abort --use seed=edged/seed -o app.wasm
//
// State. Every call starts from the program as it was after its top level had run: what a call leaves in a variable is gone for
// the next one. Keep state in kv. What the top level draws at random is the same in every call, the seed of Math.random included:
// restored() takes care of that; random() asks the host.
//
// Errors. AssemblyScript cannot catch, so nothing here throws: functions return a Code below zero, null, or a Result. An abort (an
// index out of range, a failed assertion) fails the call with its message.

/** Results below zero, the same numbers for every function. */
export enum Code {
  Ok = 0,
  NotFound = -1, // no such key, setting, secret, function or object
  Invalid = -2, // an argument is malformed, such as an empty key
  Denied = -3, // the manifest does not grant it
  TooLarge = -4, // a key, a value or a body is above its limit
  Conflict = -5, // the value is no longer the expected one, another holds the lock, or a wait would never end
  Timeout = -6, // not done in time
  Unreachable = -7, // another node does not answer
  Limit = -8, // a quota of the app or of the call is used up
  Unsupported = -9, // this host cannot do it
  Internal = -10, // the host or a called function failed
  Cancelled = -11, // the call was cancelled, or the client has gone
}

@external("edged", "input_len") declare function host_input_len(): i32;
@external("edged", "input_read") declare function host_input_read(off: i32, buf: usize, cap: i32): i32;
@external("edged", "output_write") declare function host_output_write(data: usize, len: i32): i32;
@external("edged", "output_status") declare function host_output_status(code: i32): i32;
@external("edged", "output_header") declare function host_output_header(name: usize, nameLen: i32, value: usize, valueLen: i32): i32;
@external("edged", "error") declare function host_error(text: usize, len: i32): void;
@external("edged", "meta_get") declare function host_meta_get(key: usize, keyLen: i32, buf: usize, cap: i32): i32;
@external("edged", "log") declare function host_log(level: i32, text: usize, len: i32): void;
@external("edged", "config_get") declare function host_config_get(key: usize, keyLen: i32, buf: usize, cap: i32): i32;
@external("edged", "secret_get") declare function host_secret_get(key: usize, keyLen: i32, buf: usize, cap: i32): i32;
@external("edged", "kv_get") declare function host_kv_get(key: usize, keyLen: i32, buf: usize, cap: i32): i32;
@external("edged", "kv_set") declare function host_kv_set(key: usize, keyLen: i32, value: usize, valueLen: i32): i32;
@external("edged", "kv_delete") declare function host_kv_delete(key: usize, keyLen: i32): i32;
@external("edged", "kv_cas") declare function host_kv_cas(key: usize, keyLen: i32, old: usize, oldLen: i32, value: usize, valueLen: i32): i32;
@external("edged", "kv_scan") declare function host_kv_scan(prefix: usize, prefixLen: i32, cursor: usize, buf: usize, cap: i32): i32;
@external("edged", "kv_batch") declare function host_kv_batch(ops: usize, opsLen: i32, out: usize, cap: i32): i32;
@external("edged", "kv_lock") declare function host_kv_lock(key: usize, keyLen: i32, ttl: i32): i64;
@external("edged", "kv_unlock") declare function host_kv_unlock(key: usize, keyLen: i32, token: i64): i32;
@external("edged", "call") declare function host_call(fn: usize, fnLen: i32, input: usize, inputLen: i32, buf: usize, cap: i32): i32;
@external("edged", "result_read") declare function host_result_read(off: i32, buf: usize, cap: i32): i32;
@external("edged", "rcall") declare function host_rcall(fn: usize, fnLen: i32, input: usize, inputLen: i32): i64;
@external("edged", "rput") declare function host_rput(data: usize, len: i32): i64;
@external("edged", "rget") declare function host_rget(object: i64, buf: usize, cap: i32, timeout: i32): i32;
@external("edged", "rlen") declare function host_rlen(object: i64): i32;
@external("edged", "rwait") declare function host_rwait(objects: usize, n: i32, want: i32, timeout: i32, ready: usize): i32;
@external("edged", "rcancel") declare function host_rcancel(object: i64): i32;
@external("edged", "rdrop") declare function host_rdrop(object: i64): i32;
@external("edged", "actor_new") declare function host_actor_new(cls: usize, clsLen: i32, key: usize, keyLen: i32): i64;
@external("edged", "actor_call") declare function host_actor_call(actor: i64, fn: usize, fnLen: i32, input: usize, inputLen: i32): i64;
@external("wasi_snapshot_preview1", "random_get") declare function host_random_get(buf: usize, len: i32): i32;

/** The bytes of a text in UTF-8. */
export function bytes(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

/** The text whose UTF-8 these bytes are. */
export function text(data: Uint8Array): string {
  return String.UTF8.decodeUnsafe(data.dataStart, data.length);
}

/** What a read found: a value, or a code below zero. */
export class Result {
  constructor(
    public code: i32, // Code.Ok, or an error
    public data: Uint8Array, // empty after an error
    public message: string = "", // what a called function or the host said about an error
  ) {}

  /** There is a value. */
  get ok(): bool {
    return this.code >= 0;
  }

  /** The value as text. */
  get text(): string {
    return text(this.data);
  }
}

type Getter = (key: usize, keyLen: i32, buf: usize, cap: i32) => i32;

/** Reads a value of unknown size; it may change between two calls, hence the loop. */
function read(getter: Getter, key: Uint8Array): Result {
  let buf = new Uint8Array(512);
  while (true) {
    const n = getter(key.dataStart, key.length, buf.dataStart, buf.length);
    if (n < 0) return new Result(n, new Uint8Array(0));
    if (n <= buf.length) return new Result(Code.Ok, buf.subarray(0, n));
    buf = new Uint8Array(n);
  }
}

function readText(getter: Getter, name: string): string | null {
  const found = read(getter, bytes(name));
  return found.ok ? found.text : null;
}

const metaGetter: Getter = (key, keyLen, buf, cap) => host_meta_get(key, keyLen, buf, cap);
const configGetter: Getter = (key, keyLen, buf, cap) => host_config_get(key, keyLen, buf, cap);
const secretGetter: Getter = (key, keyLen, buf, cap) => host_secret_get(key, keyLen, buf, cap);
const kvGetter: Getter = (key, keyLen, buf, cap) => host_kv_get(key, keyLen, buf, cap);

/** Fails the call, whatever the entry returns: the caller gets this text with status 500. Returns 1: `return edged.fail("...")`. */
export function fail(message: string): i32 {
  const data = bytes(message);
  host_error(data.dataStart, data.length);
  return 1;
}

/** What AssemblyScript calls when something cannot go on; see --use abort above. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  fail((message !== null ? message : "abort") + " in " + (file !== null ? file : "?") + ":" + line.toString() + ":" + column.toString());
  unreachable();
}

/** Seeds Math.random; see --use seed above. */
export function seed(): f64 {
  const number = new Uint8Array(8);
  host_random_get(number.dataStart, 8);
  return reinterpret<f64>((load<u64>(number.dataStart) >> 12) | 0x3ff0000000000000); // 1 to 2: not zero, not NaN
}

/**
 * Draws anew what the top level has drawn at random. A program whose top level uses Math.random, or that keeps `reuse: true`, says
 * `export { restored as edged_restore } from "./edged"`: the host calls it before every call.
 */
export function restored(): void {
  NativeMath.seedRandom(reinterpret<i64>(seed()));
}

/** Fresh random bytes from the host, for secrets too. */
export function random(n: i32): Uint8Array {
  const data = new Uint8Array(n);
  assert(host_random_get(data.dataStart, n) == 0, "the host gives no random numbers");
  return data;
}

/** The whole request body, empty when there is none. Each call copies it anew. */
export function input(): Uint8Array {
  const body = new Uint8Array(host_input_len());
  let have = 0;
  while (have < body.length) {
    const n = host_input_read(have, body.dataStart + have, body.length - have);
    if (n <= 0) return body.subarray(0, have);
    have += n;
  }
  return body;
}

/** Appends to the response body: Code.Ok, TooLarge or Cancelled. Status and headers come before it. */
export function write(data: Uint8Array): i32 {
  return min(host_output_write(data.dataStart, data.length), 0);
}

/** Appends text to the response body, as write. */
export function print(message: string): i32 {
  return write(bytes(message));
}

/** Sets the HTTP status of the response; 200 unless set. Invalid outside of 200 to 599, Conflict once the head has been sent. */
export function status(code: i32): i32 {
  return host_output_status(code);
}

/** Adds a response header field. Invalid for a malformed name or value, Denied for fields that frame the message. */
export function setHeader(name: string, value: string): i32 {
  const n = bytes(name), v = bytes(value);
  return host_output_header(n.dataStart, n.length, v.dataStart, v.length);
}

/**
 * A fact about the call: "method", "path", "query", "header:NAME", "param:NAME", "trigger", "key", "event_id", "attempt", "app",
 * "function", "node", "route", "path_info", "proto", "host", "remote", "result:status". null when there is none.
 */
export function meta(key: string): string | null {
  return readText(metaGetter, key);
}

function metaOr(key: string): string {
  const value = meta(key);
  return value !== null ? value : "";
}

/** The HTTP method, upper case; "POST" for triggers other than HTTP. */
export function method(): string {
  return metaOr("method");
}

/** The path as the client sent it, still escaped, without the query. */
export function path(): string {
  return metaOr("path");
}

/** A request header, its name in any case. */
export function header(name: string): string | null {
  return meta("header:" + name);
}

/** A named part of the route's pattern. */
export function param(name: string): string | null {
  return meta("param:" + name);
}

/**
 * What names the event that started the call, the run of a timer or the change of a key: the same when it comes again, and no
 * other has it.
 */
export function eventId(): string | null {
  return meta("event_id");
}

/** The first value of a query parameter, decoded. */
export function query(name: string): string | null {
  const pairs = metaOr("query").split("&");
  for (let i = 0; i < pairs.length; i++) {
    const pair = pairs[i];
    const at = pair.indexOf("=");
    const key = at < 0 ? pair : pair.substring(0, at);
    if (key.length > 0 && unescape(key) == name) return at < 0 ? "" : unescape(pair.substring(at + 1));
  }
  return null;
}

function digit(data: Uint8Array, at: i32): i32 {
  if (at >= data.length) return -1;
  const c: i32 = data[at];
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const letter = c | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}

/** Decodes "+" and "%XX" of a query part; a malformed escape stays as it is. */
function unescape(part: string): string {
  const data = bytes(part);
  let to = 0;
  for (let at = 0; at < data.length; at++, to++) {
    const high = digit(data, at + 1), low = digit(data, at + 2);
    if (data[at] == 0x25 && high >= 0 && low >= 0) {
      data[to] = <u8>((high << 4) | low);
      at += 2;
    } else {
      data[to] = data[at] == 0x2b ? 0x20 : data[at];
    }
  }
  return text(data.subarray(0, to));
}

/** A setting of the app; null also when the manifest does not grant it (grants.config). */
export function config(name: string): string | null {
  return readText(configGetter, name);
}

/** A secret of the app; null also when the manifest does not grant it (grants.secrets). */
export function secret(name: string): string | null {
  return readText(secretGetter, name);
}

/** How much a line of the log matters. */
export enum Level {
  Debug = 0,
  Info = 1,
  Warn = 2,
  Error = 3,
}

/** Writes a line to the app's log, which `edged logs APP` shows. */
export function log(level: Level, message: string): void {
  const data = bytes(message);
  host_log(level, data.dataStart, data.length);
}

/**
 * The app's space of the key-value store. Keys are 1 to 1,024 bytes, values at most 16 MiB: Invalid, TooLarge. Writes return when they
 * are as durable as the manifest's kv.durability says; Limit when the disk or the quota is full, Timeout at the call's deadline, after
 * which they may or may not have been done.
 */
export namespace kv {
  /** A value; NotFound. */
  export function get(key: string): Result {
    return read(kvGetter, bytes(key));
  }

  /** Writes a value. */
  export function set(key: string, value: Uint8Array): i32 {
    const k = bytes(key);
    return host_kv_set(k.dataStart, k.length, value.dataStart, value.length);
  }

  /** Deletes a key. 1: deleted, 0: there was none. */
  export function remove(key: string): i32 {
    const k = bytes(key);
    return host_kv_delete(k.dataStart, k.length);
  }

  /** Replaces the value in one step when it is what the caller believes. null as old: there is no such key; null as value: delete.
   * Conflict when it is something else by now. */
  export function cas(key: string, old: Uint8Array | null, value: Uint8Array | null): i32 {
    const k = bytes(key);
    return host_kv_cas(k.dataStart, k.length, startOf(old), lengthOf(old), startOf(value), lengthOf(value));
  }

  /** Takes a lock on a key for ttl milliseconds, to 24 hours: a token above zero, or an error. The lease ends by itself. */
  export function lock(key: string, ttl: i32): i64 {
    const k = bytes(key);
    return host_kv_lock(k.dataStart, k.length, ttl);
  }

  /** Gives a lock back. Conflict when the lease had ended already. */
  export function unlock(key: string, token: i64): i32 {
    const k = bytes(key);
    return host_kv_unlock(k.dataStart, k.length, token);
  }

  /** Walks over the keys that begin with prefix, in byte order: `while (scan.next()) use(scan.key, scan.value)`; then code is Ok, or
   * the error that ended it. */
  export class Scan {
    key: string = "";
    value: Uint8Array = new Uint8Array(0);
    code: i32 = Code.Ok;
    private prefix: Uint8Array;
    private cursor: StaticArray<u64> = new StaticArray<u64>(2);
    private page: Uint8Array = new Uint8Array(4096);
    private have: i32 = 0;
    private at: i32 = 0;
    private last: bool = false;

    constructor(prefix: string) {
      this.prefix = bytes(prefix);
    }

    next(): bool {
      while (this.at >= this.have) {
        if (this.last) return false;
        const n = host_kv_scan(this.prefix.dataStart, this.prefix.length, changetype<usize>(this.cursor), this.page.dataStart, this.page.length);
        if (n > this.page.length) {
          this.page = new Uint8Array(n);
          continue;
        }
        this.code = min(n, 0);
        this.have = max(n, 0);
        this.at = 0;
        this.last = n < 0 || (this.cursor[0] == 0 && this.cursor[1] == 0);
      }
      this.key = text(this.field());
      this.value = this.field();
      return true;
    }

    private field(): Uint8Array {
      const n = <i32>load<u32>(this.page.dataStart + this.at);
      const field = this.page.slice(this.at + 4, this.at + 4 + n);
      this.at += 4 + n;
      return field;
    }
  }

  /** Several operations as one: all or, when one fails, none. Each sees what those before it did. */
  export class Batch {
    private ops: Array<u8> = [];
    private kinds: Array<u8> = [];

    private add(kind: u8, key: string, a: Uint8Array | null, b: Uint8Array | null): Batch {
      const k = bytes(key);
      this.number(kind);
      this.number(k.length);
      this.number(a !== null || kind == 4 ? lengthOf(a) : 0);
      this.number(b !== null || kind == 4 ? lengthOf(b) : 0);
      this.append(k);
      if (a !== null) this.append(a);
      if (b !== null) this.append(b);
      this.kinds.push(kind);
      return this;
    }

    private number(value: i32): void {
      for (let i = 0; i < 32; i += 8) this.ops.push(<u8>(value >> i));
    }

    private append(data: Uint8Array): void {
      for (let i = 0; i < data.length; i++) this.ops.push(data[i]);
    }

    /** Reads a key. */
    get(key: string): Batch {
      return this.add(1, key, null, null);
    }

    /** Writes a value. */
    set(key: string, value: Uint8Array): Batch {
      return this.add(2, key, value, null);
    }

    /** Deletes a key. */
    remove(key: string): Batch {
      return this.add(3, key, null, null);
    }

    /** As kv.cas; the condition for the whole batch. */
    cas(key: string, old: Uint8Array | null, value: Uint8Array | null): Batch {
      return this.add(4, key, old, value);
    }

    /** Runs the operations. results has what each found: the value of a get, or NotFound; 1 or 0 as the code of a remove. Conflict when the
     * expectation of a cas does not hold; nothing has been applied after an error. */
    run(results: Array<Result>): i32 {
      if (this.kinds.length == 0) return Code.Ok;
      let out = new Uint8Array(1024);
      let n = host_kv_batch(this.ops.dataStart, this.ops.length, out.dataStart, out.length);
      while (n > out.length) {
        // Applied, but the results did not fit: no operations at all ask for them again.
        out = new Uint8Array(n);
        n = host_kv_batch(0, 0, out.dataStart, out.length);
      }
      if (n < 0) return n;
      for (let i = 0, at = 0; i < this.kinds.length; i++) {
        const code = load<i32>(out.dataStart + at), size = load<i32>(out.dataStart + at + 4);
        results.push(new Result(code, out.slice(at + 8, at + 8 + size)));
        at += 8 + size;
      }
      return Code.Ok;
    }
  }
}

function startOf(data: Uint8Array | null): usize {
  return data !== null ? data.dataStart : 0;
}

/** -1 stands for what is absent. */
function lengthOf(data: Uint8Array | null): i32 {
  return data !== null ? data.length : -1;
}

/**
 * Runs another function, "function" of this app or "app/function", with an input, waits for it, and returns its response body, whatever
 * its status (see resultStatus). Errors: NotFound, Denied (grants.calls, callers), Internal when it failed, with what it said as the
 * message, Timeout, Cancelled, TooLarge, Limit, and Conflict when it would wait for itself.
 */
export function call(name: string, input: Uint8Array): Result {
  const fn = bytes(name), buf = new Uint8Array(1024);
  return take(host_call(fn.dataStart, fn.length, input.dataStart, input.length, buf.dataStart, buf.length), buf);
}

/** The HTTP status of the result that call or get gave last; 0 when none did. */
export function resultStatus(): i32 {
  const status = meta("result:status");
  return status !== null ? I32.parseInt(status) : 0;
}

/** Starts a call, as call would, and does not wait for it: the number of its result, above zero, or an error. It runs on when this one
 * ends. The number means the same to every function of the app. */
export function start(name: string, input: Uint8Array): i64 {
  const fn = bytes(name);
  return host_rcall(fn.dataStart, fn.length, input.dataStart, input.length);
}

/** Makes an object of bytes, at most 32 MiB: its number, above zero; TooLarge; Limit. */
export function put(data: Uint8Array): i64 {
  return host_rput(data.dataStart, data.length);
}

/** Waits for an object, for timeout milliseconds, 0: not at all, -1: until the call's own deadline, and returns its bytes or the error
 * that its call ended with. */
export function get(object: i64, timeout: i32 = -1): Result {
  const buf = new Uint8Array(1024);
  return take(host_rget(object, buf.dataStart, buf.length, timeout), buf);
}

/** The length of an object in bytes; Timeout while its call runs. */
export function length(object: i64): i32 {
  return host_rlen(object);
}

/** Waits until want of the objects are there, timeout as for get: how many are, fewer when the time has passed, or an error. ready is
 * as long as objects and gets 1 for each that is there. A call that has failed is there. */
export function wait(objects: StaticArray<i64>, want: i32, timeout: i32, ready: Uint8Array): i32 {
  assert(ready.length >= objects.length, "ready is shorter than objects");
  return host_rwait(changetype<usize>(objects), objects.length, want, timeout, ready.dataStart);
}

/** Ends the object's call wherever it is; get gives Cancelled then. */
export function cancel(object: i64): i32 {
  return host_rcancel(object);
}

/** Gives the object up before this call ends. What no call holds is freed; a call that runs goes on. */
export function release(object: i64): i32 {
  return host_rdrop(object);
}

/**
 * The number of the actor of a class (a function with `actor: true` in the manifest) and a key, above zero, always the same; it is made for
 * its first message. Invalid when there is no such class or the key has not 1 to 512 bytes; Limit. Variables of an actor's instance stay.
 * A program that exports edged_save and edged_load, without parameters and results, has that state kept over restarts: what the first
 * writes after a message, the second has as input in a new instance.
 */
export function actor(name: string, key: string): i64 {
  const c = bytes(name), k = bytes(key);
  return host_actor_new(c.dataStart, c.length, k.dataStart, k.length);
}

/** Sends a message to an actor: name, a function of the app, "" for the class itself, runs in its instance, after the messages that came
 * before. The number of its answer, as of start; Limit when too many wait. */
export function send(actor: i64, name: string, input: Uint8Array): i64 {
  const fn = bytes(name);
  return host_actor_call(actor, fn.dataStart, fn.length, input.dataStart, input.length);
}

/** A result of n bytes, of which those that fit are in buf. */
function take(n: i32, buf: Uint8Array): Result {
  if (n < 0) return new Result(n, new Uint8Array(0), text(rest(new Uint8Array(4096), 0)));
  if (n <= buf.length) return new Result(Code.Ok, buf.subarray(0, n));
  const data = rest(new Uint8Array(n), 0);
  return data.length == n ? new Result(Code.Ok, data) : new Result(Code.NotFound, new Uint8Array(0), "dropped meanwhile");
}

/** What the host has of the last result or error, as much as fits. */
function rest(buf: Uint8Array, have: i32): Uint8Array {
  while (have < buf.length) {
    const n = host_result_read(have, buf.dataStart + have, buf.length - have);
    if (n <= 0) break;
    have += n;
  }
  return buf.subarray(0, have);
}
