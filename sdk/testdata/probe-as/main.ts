// Asks the host for everything the AssemblyScript SDK can ask for and answers "ok", or fails with what was wrong. The tests of the
// examples deploy it.
import * as edged from "../../assemblyscript/edged";
import { kv, Code, Result } from "../../assemblyscript/edged";

export { restored as edged_restore } from "../../assemblyscript/edged";

// Drawn by the top level: without edged_restore every call would go on with the same numbers.
const early = Math.random();

let problem = "";

function expect(holds: bool, what: string): void {
  if (!holds && problem == "") problem = what;
}

function same(a: Uint8Array, b: Uint8Array): bool {
  return a.length == b.length && memory.compare(a.dataStart, b.dataStart, a.length) == 0;
}

function filled(n: i32, value: u8): Uint8Array {
  return new Uint8Array(n).fill(value);
}

export function probe(): i32 {
  exchange();
  store();
  scan();
  batch();
  calls();
  actors();
  if (problem != "") return edged.fail(problem);
  return edged.print("ok\n");
}

/** Fails with this text. */
export function fails(): i32 {
  return edged.fail("as it should, 42");
}

/** Aborts with this text. */
export function aborts(): i32 {
  assert(early < 0, "as it must");
  return 0;
}

/** Answers with its input, twice. */
export function echo(): i32 {
  edged.status(201);
  return edged.write(edged.input()) + edged.write(edged.input());
}

/** Answers with what is random: no two calls may give the same. */
export function draw(): i32 {
  return edged.print(Math.random().toString() + " [" + edged.random(8).toString() + "\n");
}

let tallied = 0;

/** Counts its messages: a class of actors, in whose instance variables stay. */
export function tally(): i32 {
  return edged.print((++tallied).toString());
}

function actors(): void {
  const none = new Uint8Array(0), actor = edged.actor("tally", "probe");
  expect(actor > 0 && edged.actor("tally", "probe") == actor && edged.actor("echo", "probe") == Code.Invalid, "actor");
  const one = edged.get(edged.send(actor, "", none)), two = edged.get(edged.send(actor, "tally", none));
  expect(one.ok && two.ok && I32.parseInt(two.text) == I32.parseInt(one.text) + 1, "messages: " + one.message + two.message);
}

function exchange(): void {
  const body = edged.input();
  expect(body.length == 100000 && body[13] == 0x33 && body[99999] == 0x39, "input");
  expect(edged.method() == "POST" && edged.path() == "/probe-as/probe", "method or path");
  expect(edged.query("a") == "1 2" && edged.query("b") === null, "query");
  expect(edged.header("x-probe") == "yes" && edged.header("X-None") === null, "header");
  expect(edged.meta("app") == "probe-as" && edged.param("none") === null && edged.eventId() === null, "meta");
  expect(edged.config("greeting") == "ahoy" && edged.config("none") === null && edged.secret("none") === null, "settings");
  expect(edged.status(202) == Code.Ok && edged.status(99) == Code.Invalid, "status");
  expect(edged.setHeader("X-Probe", "1") == Code.Ok && edged.setHeader("X-Probe", "2") == Code.Ok, "set header");
  expect(edged.setHeader("a b", "") == Code.Invalid && edged.setHeader("Content-Length", "1") == Code.Denied, "bad header");
  edged.log(edged.Level.Warn, "a line of the probe");
}

function store(): void {
  const large = filled(1 << 20, 7), x = edged.bytes("x"), empty = new Uint8Array(0);
  expect(kv.get("s/none").code == Code.NotFound && kv.set("", x) == Code.Invalid && kv.get("k".repeat(1025)).code == Code.TooLarge, "bad keys");
  expect(kv.set("s/large", large) == Code.Ok && same(kv.get("s/large").data, large), "large value");
  expect(kv.remove("s/large") == 1 && kv.remove("s/large") == 0, "remove");
  kv.remove("s/e");
  expect(kv.cas("s/e", x, x) == Code.Conflict && kv.cas("s/e", null, empty) == Code.Ok, "cas of none");
  expect(kv.cas("s/e", null, x) == Code.Conflict && kv.cas("s/e", empty, null) == Code.Ok && !kv.get("s/e").ok, "cas of some");
  expect(kv.set("s/ž", edged.bytes("Žofie")) == Code.Ok && kv.get("s/ž").text == "Žofie", "text");
  const token = kv.lock("l", 60000);
  expect(token > 0 && kv.unlock("l", token) == Code.Ok && kv.unlock("l", token) == Code.Conflict, "lock");
  expect(kv.lock("m", 0) == Code.Invalid, "lock for no time");
}

function scan(): void {
  for (let i = 0; i < 50; i++) kv.set("n/" + i.toString().padStart(2, "0"), filled(i * 1000, <u8>i));
  const walk = new kv.Scan("n/");
  let n = 0;
  for (; walk.next(); n++) expect(walk.key == "n/" + n.toString().padStart(2, "0") && same(walk.value, filled(n * 1000, <u8>n)), "scan at " + walk.key);
  expect(n == 50 && walk.code == Code.Ok && !new kv.Scan("none/").next(), "scan of " + n.toString());
}

function batch(): void {
  const value = filled(5000, 0x76), empty = new Uint8Array(0), results: Result[] = [];
  const run = new kv.Batch().remove("b").cas("b", null, value).get("b").remove("b").remove("b").get("b").set("b", empty);
  expect(run.run(results) == Code.Ok && results.length == 7, "batch");
  expect(same(results[2].data, value) && results[3].code == 1 && results[4].code == 0 && results[5].code == Code.NotFound, "results of a batch");
  expect(new kv.Batch().set("b", value).cas("b", null, null).run([]) == Code.Conflict, "batch that fails");
  expect(kv.get("b").ok && kv.get("b").data.length == 0 && new kv.Batch().run([]) == Code.Ok, "after a batch that failed");
}

function calls(): void {
  const none = new Uint8Array(0);
  expect(edged.call("echo", edged.bytes("ab")).text == "abab" && edged.resultStatus() == 201, "call");
  expect(same(edged.call("probe-as/echo", filled(5000, 9)).data, filled(10000, 9)), "large call");
  expect(edged.call("none", none).code == Code.NotFound, "call of none");
  const failed = edged.call("fails", none), aborted = edged.call("aborts", none);
  expect(failed.code == Code.Internal && failed.message.includes("as it should, 42"), "call of fails: " + failed.message);
  expect(aborted.code == Code.Internal && aborted.message.includes("as it must in"), "call of aborts: " + aborted.message);
  const list: StaticArray<i64> = [edged.start("echo", edged.bytes("x")), edged.start("fails", none), edged.put(edged.bytes("data"))];
  const ready = new Uint8Array(3);
  expect(edged.wait(list, 3, -1, ready) == 3 && ready[0] + ready[1] + ready[2] == 3, "wait");
  expect(edged.get(list[0], 0).text == "xx" && edged.get(list[1]).code == Code.Internal, "get");
  expect(edged.length(list[2]) == 4 && edged.get(list[2]).text == "data", "put");
  expect(edged.cancel(list[0]) == Code.Ok && edged.release(list[2]) == Code.Ok && edged.get(12345, 0).code == Code.NotFound, "release");
}
