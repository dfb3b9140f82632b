package kvstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

func exported(tb testing.TB, keys int) []byte {
	tb.Helper()
	s := newStore(tb, nil)
	sp := mustSpace(tb, s, "from", Memory)
	for i := range keys {
		mustSet(tb, sp, fmt.Sprintf("key%04d", i), string(bytes.Repeat([]byte{byte(i)}, i%50)))
	}
	var buf bytes.Buffer
	tr, err := s.Export(tb.Context(), &buf, "from")
	if err != nil || tr.Keys != uint64(keys) || tr.Space != "from" {
		tb.Fatalf("Export: %+v, %v", tr, err)
	}
	return buf.Bytes()
}

func TestExportImport(t *testing.T) {
	const keys = 3000 // several steps of Import
	stream := exported(t, keys)
	s := newStore(t, nil)
	for _, d := range allClasses {
		mustSet(t, mustSpace(t, s, d.String(), d), "other", "stays")
		for range 2 {
			tr, err := s.Import(t.Context(), bytes.NewReader(stream), d.String())
			if err != nil || tr.Keys != keys || tr.Space != "from" {
				t.Fatalf("Import: %+v, %v", tr, err)
			}
		}
		sp := mustSpace(t, s, d.String(), d)
		wantValue(t, sp, "other", "stays")
		wantValue(t, sp, "key0007", "\x07\x07\x07\x07\x07\x07\x07")
		if got := scanAll(t, sp, []byte("key"), nil); len(got) != keys {
			t.Errorf("%s: %d keys", d, len(got))
		}
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(stream), "fresh"); err != nil {
		t.Errorf("Import into a new space: %v", err)
	}
	wantErr(t, "Export of nothing", second(s.Export(t.Context(), io.Discard, "none")), ErrSpaceNotFound)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "cancelled Export", second(s.Export(ctx, io.Discard, "fresh")), context.Canceled)
	wantErr(t, "cancelled Import", second(s.Import(ctx, bytes.NewReader(stream), "fresh")), context.Canceled)
}

// readExport reads a whole stream.
func readExport(b []byte) (entries []string, err error) {
	in := newImporter(bytes.NewReader(b))
	if _, err := in.header(); err != nil {
		return nil, err
	}
	for {
		k, v, err := in.next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		entries = append(entries, string(k)+"="+string(v))
	}
}

// TestEveryBitOfAnExport flips every bit and cuts at every byte: each must be noticed, and what was read before must be right.
func TestEveryBitOfAnExport(t *testing.T) {
	stream := exported(t, 12)
	want, err := readExport(stream)
	if err != nil || len(want) != 12 {
		t.Fatalf("%d entries, %v", len(want), err)
	}
	check := func(what string, b []byte) {
		got, err := readExport(b)
		if !errors.Is(err, ErrBadExport) || len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Errorf("%s: %d entries, %v", what, len(got), err)
		}
	}
	for bit := range len(stream) * 8 {
		b := bytes.Clone(stream)
		b[bit/8] ^= 1 << (bit % 8)
		check(fmt.Sprintf("bit %d", bit), b)
	}
	for n := range stream {
		check(fmt.Sprintf("cut at %d", n), stream[:n])
	}
	check("followed by a byte", append(bytes.Clone(stream), 0))
	check("twice", append(bytes.Clone(stream), stream...))
}

func TestScrub(t *testing.T) {
	s := newStore(t, &Options{ScrubBytesPerSecond: -1})
	if _, err := s.Import(t.Context(), bytes.NewReader(exported(t, 1000)), "app"); err != nil {
		t.Fatal(err)
	}
	mustSet(t, mustSpace(t, s, "more", Sync), "k", "v")
	mustSet(t, mustSpace(t, s, "ram", Memory), "k", "v")
	steps := 0
	res, err := s.Scrub(t.Context(), func(p ScrubProgress) { steps++ })
	if err != nil || res.Keys != 1001 || res.Corrupt != 0 || steps < 4 {
		t.Errorf("Scrub: %+v in %d steps, %v", res, steps, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.Scrub(ctx, func(ScrubProgress) { cancel() })
	wantErr(t, "cancelled Scrub", err, context.Canceled)
}

func FuzzImporter(f *testing.F) {
	f.Add(exported(f, 3))
	f.Add([]byte(exportMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := readExport(b)
		if err != nil {
			if !errors.Is(err, ErrBadExport) {
				t.Errorf("readExport: %v", err)
			}
			return
		}
		// What is accepted must be exactly what an exporter writes.
		var buf bytes.Buffer
		e := newExporter(&buf)
		in := newImporter(bytes.NewReader(b))
		space, _ := in.header()
		_ = e.header(space)
		for range entries {
			k, v, _ := in.next()
			_ = e.record(k, v)
		}
		_ = e.end()
		if !bytes.Equal(buf.Bytes(), b) {
			t.Error("another stream with the same content was accepted")
		}
	})
}

func FuzzRecord(f *testing.F) {
	s := newSeal("app")
	f.Add([]byte("key"), s.encode([]byte("key"), []byte("value")))
	f.Fuzz(func(t *testing.T, key, rec []byte) {
		if v, ok := s.decode(key, rec); ok && !bytes.Equal(s.encode(key, v), rec) {
			t.Error("a record that encode would not make was accepted")
		}
	})
}
