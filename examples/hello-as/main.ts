// The smallest function in AssemblyScript, and one that keeps something.
import * as edged from "../../sdk/assemblyscript/edged";

/** Greets who the query names, and counts it. */
export function hello(): i32 {
  const name = edged.query("name");
  if (!count()) return edged.fail("the visit cannot be counted");
  return edged.print("hello, " + (name !== null ? name : "world") + ", from AssemblyScript\n");
}

/** Answers how often hello was called. */
export function visits(): i32 {
  const found = edged.kv.get("visits");
  if (!found.ok && found.code != edged.Code.NotFound) return edged.fail("the store answered " + found.code.toString());
  return edged.print((found.ok ? found.text : "0") + "\n");
}

/** Adds one by compare-and-set: calls that come at the same time lose nothing. */
function count(): bool {
  while (true) {
    const old = edged.kv.get("visits");
    if (!old.ok && old.code != edged.Code.NotFound) return false;
    const next = edged.bytes((old.ok ? I64.parseInt(old.text) + 1 : 1).toString());
    const code = edged.kv.cas("visits", old.ok ? old.data : null, next);
    if (code != edged.Code.Conflict) return code == edged.Code.Ok;
  }
}
