package hostfn

// metaFuncs are the functions that tell a guest about its invocation and its app, and the one it logs with.
func metaFuncs() []native {
	return []native{
		{"meta_get", "iiii i", metaGet},
		{"log", "iii", logLine},
		{"config_get", "iiii i", configGet},
		{"secret_get", "iiii i", secretGet},
	}
}

// maxName bounds the keys of meta_get, config_get and secret_get; longer ones are not looked up.
const maxName = 8 << 10

// metaGet reads what is known about the invocation; [Request] lists the keys.
//
// Parameters: key, klen, UTF-8; buf, cap, where the value goes.
// Result: the value's full length, copied when it fits; NotFound when nothing is known under the key. It never blocks.
func metaGet(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("key", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if string(key) != e.meta && len(key) <= maxName {
		e.meta = string(key)
	}
	value, found := "", false
	if len(key) <= maxName {
		value, found = e.lookUp(e.meta)
	}
	if !found {
		_, err := e.bytes("buf", p[2], p[3])
		return NotFound, err
	}
	return e.giveText(p[2], p[3], value)
}

// configGet reads a value of the app's configuration.
//
// Parameters: key, klen, UTF-8; buf, cap, where the value goes.
// Result: the value's full length, copied when it fits; NotFound. It never blocks.
func configGet(e *Env, p []uint64) (Result, error) { return lookUpIn(e, e.app.Config, p) }

// secretGet reads a secret that the manifest grants.
//
// Parameters: key, klen, UTF-8; buf, cap, where the value goes.
// Result: the value's full length, copied when it fits; NotFound, also for a secret that is not granted. It never blocks.
func secretGet(e *Env, p []uint64) (Result, error) { return lookUpIn(e, e.app.Secrets, p) }

func lookUpIn(e *Env, values map[string]string, p []uint64) (Result, error) {
	key, err := e.bytes("key", p[0], p[1])
	if err != nil {
		return 0, err
	}
	value, found := values[string(key)]
	if !found {
		_, err := e.bytes("buf", p[2], p[3])
		return NotFound, err
	}
	return e.giveText(p[2], p[3], value)
}

// logLine logs a text, line by line.
//
// Parameters: level u32, 0 debug, 1 info, 2 warn, 3 error, above that error; ptr, len, UTF-8 text. No result: what exceeds
// Limits.LogBytes is left out and one line says so.
func logLine(e *Env, p []uint64) (Result, error) {
	text, err := e.bytes("ptr", p[1], p[2])
	if err != nil {
		return 0, err
	}
	level := LevelError
	if p[0] < uint64(LevelError) {
		level = Level(p[0])
	}
	e.logText(level, text)
	return 0, nil
}
