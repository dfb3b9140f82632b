package aot

import "strings"

// The stages of a compilation in order, as the progress function of [Cache.Get] is told them.
const (
	StageQueued    = "queued"    // another compilation is running
	StageStart     = "start"     // the child process starts and reads the module
	StageValidate  = "validate"  // the engine checks the module
	StageTranslate = "translate" // to the compiler's intermediate code
	StageVerify    = "verify"    // of the intermediate code
	StageOptimise  = "optimise"
	StageGenerate  = "generate" // machine code
	StageLink      = "link"
	StageStore     = "store" // hash, write to disk, authenticate
	StageDone      = "done"
)

// stages gives a stage its place; the number of the last is the total.
var stages = []string{
	StageQueued, StageStart, StageValidate, StageTranslate, StageVerify, StageOptimise, StageGenerate, StageLink, StageStore, StageDone,
}

// engineStages maps what the engine logs on its standard output to stages; other lines do not matter.
var engineStages = map[string]string{
	"compile start":  StageTranslate,
	"verify start":   StageVerify,
	"optimize start": StageOptimise,
	"codegen start":  StageGenerate,
	"output start":   StageLink,
}

// parseEngineLine takes one line of the engine's log, "[time] [level] text", apart.
func parseEngineLine(line string) (level, text string) {
	rest := strings.TrimSpace(line)
	for strings.HasPrefix(rest, "[") {
		tag, after, found := strings.Cut(rest[1:], "]")
		if !found {
			break
		}
		level, rest = tag, strings.TrimSpace(after)
	}
	return level, rest
}
