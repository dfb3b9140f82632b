// Package aot turns modules into native code ahead of time and keeps the results.
//
// Compiling is the one thing at deploy time that may need gigabytes, minutes, or crash: LLVM does the work. So it never
// happens in the daemon. [Cache.Get] starts this same binary again with a hidden command, whose main is [ChildMain]; the
// child is niced, capped (memory, CPU time, wall time, file size, descriptors), dies with the daemon, and reports its
// progress. Whatever becomes of it, the daemon gets an artifact or a [*CompileError] that says what to do.
//
// # Levels
//
// A small module is compiled optimised at once. A large one is compiled at [O0], which is quick, and served; the
// optimised artifact is made behind it at idle priority and announced through [Cache.OnBetter]. When optimising fails,
// the O0 artifact stays for good and the failure is remembered. The optimisation level O1 does not exist here: the
// engine's compiler crashes at it on ordinary modules.
//
// # The artifact directory
//
//	key                            32 random bytes, made once: the secret of the authentication codes
//	lock                           held with flock(2) by the one daemon that uses the directory
//	tmp/                           one folder a running compilation; emptied at Open
//	<key>.<level>.<content>.so     an artifact; <content> is the start of its SHA-256
//	<key>.<level>.rec              its record, authenticated with HMAC-SHA-256
//	<key>.<level>.fail             why this level is not to be tried again, authenticated likewise
//
// Loading an artifact runs its code, so only what this daemon made is loaded: the record must carry the right code and
// the file must be the one it describes, to the last bit, owned by us and by nobody else writable. The check is done once in
// a daemon's life and repeated when the file's inode, size or times change. Anything that does not pass is removed, logged and
// compiled again. The content is part of the name because the dynamic loader remembers paths: another file under
// the path of a loaded one would be mistaken for it.
//
// A file appears under its name only when it is whole and on disk, its record after it; a killed daemon leaves at worst
// temporary files, which the next Open removes.
//
// # Locks
//
// Cache.mu, store.mu and flight.mu are never held together.
package aot
