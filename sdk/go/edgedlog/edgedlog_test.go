package edgedlog_test

import (
	"log/slog"
	"slices"
	"testing"

	"edged.dev/edge/sdk/go/edgedlog"
	"edged.dev/edge/sdk/go/edgedtest"
)

func TestHandler(t *testing.T) {
	got := edgedtest.New().Call(edgedtest.Request{}, func() int32 {
		log := slog.New(edgedlog.New(slog.LevelInfo))
		log.Debug("not shown")
		log.Info("plain")
		log.With("user", "ada").WithGroup("disk").Warn("two words", "free", 3)
		log.Error("level stays", "level", "high")
		log.Log(t.Context(), slog.LevelInfo+2, "in between")
		return 0
	})
	want := []edgedtest.LogLine{
		{Level: 1, Text: "msg=plain"},
		{Level: 2, Text: `msg="two words" user=ada disk.free=3`},
		{Level: 3, Text: `msg="level stays" level=high`},
		{Level: 1, Text: `msg="in between"`},
	}
	if !slices.Equal(got.Log, want) {
		t.Errorf("log %+v\nwant %+v", got.Log, want)
	}
}
