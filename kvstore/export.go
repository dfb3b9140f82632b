package kvstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The export format, version 1. Integers are little-endian, every sum is a CRC-32C of all bytes of the stream before it, so a record
// that is changed, missing, repeated or moved is noticed at once:
//
//	header  "edgedkv" 0x01, length of the name u8, name of the space, sum u32
//	record  'R', key length u16, value length u32, sum u32, key, value, sum u32     (keys strictly ascending)
//	end     'E', number of records u64, sum u32
//
// The sum before the key protects the lengths: a reader never allocates by a damaged one. Nothing may follow the end.
const (
	exportMagic  = "edgedkv\x01"
	exportRecord = 'R'
	exportEnd    = 'E'
)

// importBytes and importOps bound one Apply of an Import.
const (
	importBytes = 1 << 20
	importOps   = 1024
)

// Transfer is what an Export or Import moved.
type Transfer struct {
	Space string // for Import: the name in the stream, not where it went
	Keys  uint64
	Bytes uint64 // of keys and values
}

// Export writes all keys of a space to w, in order, as a stream that Import can verify. It runs beside normal work and, like
// Scan, is not a snapshot. A damaged value ends it with a *CorruptError. ErrSpaceNotFound when there is no such space.
func (s *Store) Export(ctx context.Context, w io.Writer, space string) (Transfer, error) {
	t := Transfer{Space: space}
	sp, err := s.readable(space)
	if err != nil {
		return t, fmt.Errorf("export space %q: %w", space, err)
	}
	e := newExporter(w)
	err = e.header(space)
	if err == nil {
		scanErr := sp.Scan(nil, nil, func(key, value []byte) bool {
			if err = ctx.Err(); err == nil {
				err = e.record(key, value)
			}
			return err == nil
		})
		err = errors.Join(err, scanErr)
	}
	t.Keys, t.Bytes = e.keys, e.bytes
	if err == nil {
		err = e.end()
	}
	if err != nil {
		return t, fmt.Errorf("export space %q: %w", space, err)
	}
	return t, nil
}

// readable returns the open space, or one to read what is on disk.
func (s *Store) readable(name string) (*Space, error) {
	if s.closing.Load() {
		return nil, ErrClosed
	}
	if sp := s.opened(name); sp != nil {
		return sp, nil
	}
	onDisk, err := s.hasBucket(name)
	if err != nil {
		return nil, err
	}
	if !onDisk {
		return nil, ErrSpaceNotFound
	}
	return s.diskSpace(name), nil
}

type exporter struct {
	w     *bufio.Writer
	sum   uint32
	keys  uint64
	bytes uint64
}

func newExporter(w io.Writer) *exporter { return &exporter{w: bufio.NewWriterSize(w, 64<<10)} }

func (e *exporter) write(b []byte) error {
	e.sum = crc32.Update(e.sum, castagnoli, b)
	_, err := e.w.Write(b)
	return err
}

func (e *exporter) seal() error { return e.write(binary.LittleEndian.AppendUint32(nil, e.sum)) }

func (e *exporter) header(space string) error {
	b := append([]byte(exportMagic), byte(len(space)))
	return errors.Join(e.write(append(b, space...)), e.seal())
}

func (e *exporter) record(key, value []byte) error {
	head := make([]byte, 0, 16)
	head = binary.LittleEndian.AppendUint16(append(head, exportRecord), uint16(len(key)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(value)))
	e.keys++
	e.bytes += uint64(len(key) + len(value))
	return errors.Join(e.write(head), e.seal(), e.write(key), e.write(value), e.seal())
}

func (e *exporter) end() error {
	b := binary.LittleEndian.AppendUint64([]byte{exportEnd}, e.keys)
	return errors.Join(e.write(b), e.seal(), e.w.Flush())
}

// Import stores the keys of an exported stream in a space, which is created as Sync when it does not exist; keys that are not in the
// stream stay. It verifies as it reads and applies steps of about 1 MiB, each atomic: when the stream turns out to be damaged or cut
// off (ErrBadExport), the result says how many keys were stored before. Importing again is harmless.
func (s *Store) Import(ctx context.Context, r io.Reader, space string) (Transfer, error) {
	var t Transfer
	in := newImporter(r)
	name, err := in.header()
	if err != nil {
		return t, fmt.Errorf("import into space %q: %w", space, err)
	}
	t.Space = name
	sp := s.opened(space)
	if sp == nil {
		sp, err = s.Space(space, Sync)
	}
	if err == nil {
		err = importAll(ctx, sp, in, &t)
	}
	if err != nil {
		return t, fmt.Errorf("import into space %q after %d keys: %w", space, t.Keys, err)
	}
	return t, nil
}

// opened returns the space when Space was called for it, else nil.
func (s *Store) opened(name string) *Space {
	s.spacesMu.Lock()
	defer s.spacesMu.Unlock()
	return s.spaces[name]
}

func importAll(ctx context.Context, sp *Space, in *importer, t *Transfer) error {
	var ops []Op
	size := 0
	store := func() error {
		if _, err := sp.Silent().Apply(ctx, ops); err != nil {
			return err
		}
		t.Keys, t.Bytes = t.Keys+uint64(len(ops)), t.Bytes+uint64(size)
		ops, size = ops[:0], 0
		return nil
	}
	for {
		key, value, err := in.next()
		if errors.Is(err, io.EOF) {
			return store()
		}
		if err != nil {
			return err
		}
		ops = append(ops, Op{Kind: OpSet, Key: key, Value: value})
		size += len(key) + len(value)
		if size >= importBytes || len(ops) >= importOps {
			if err := store(); err != nil {
				return err
			}
		}
	}
}

// importer reads the export format.
type importer struct {
	r    *bufio.Reader
	sum  uint32
	keys uint64
	last []byte
}

func newImporter(r io.Reader) *importer { return &importer{r: bufio.NewReaderSize(r, 64<<10)} }

// read returns the next n bytes; the caller bounds n.
func (in *importer) read(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(in.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: it is cut off after %d keys", ErrBadExport, in.keys)
		}
		return nil, err
	}
	in.sum = crc32.Update(in.sum, castagnoli, b)
	return b, nil
}

// check reads a sum and compares it with the stream before it.
func (in *importer) check() error {
	want := in.sum
	b, err := in.read(4)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) != want {
		return fmt.Errorf("%w: wrong checksum after %d keys", ErrBadExport, in.keys)
	}
	return nil
}

func (in *importer) header() (space string, err error) {
	head, err := in.read(len(exportMagic) + 1)
	if err != nil {
		return "", err
	}
	if string(head[:len(exportMagic)]) != exportMagic {
		return "", fmt.Errorf("%w: it does not begin like one", ErrBadExport)
	}
	name, err := in.read(int(head[len(exportMagic)]))
	if err != nil {
		return "", err
	}
	if err := in.check(); err != nil {
		return "", err
	}
	if !validName(string(name)) {
		return "", fmt.Errorf("%w: %w", ErrBadExport, ErrBadName)
	}
	return string(name), nil
}

// next returns the next record, or io.EOF at the end of a complete stream. The slices are the caller's.
func (in *importer) next() (key, value []byte, err error) {
	kind, err := in.read(1)
	if err != nil {
		return nil, nil, err
	}
	switch kind[0] {
	case exportRecord:
		return in.record()
	case exportEnd:
		return nil, nil, in.end()
	default:
		return nil, nil, fmt.Errorf("%w: unknown part %#x after %d keys", ErrBadExport, kind[0], in.keys)
	}
}

func (in *importer) record() (key, value []byte, err error) {
	head, err := in.read(6)
	if err != nil {
		return nil, nil, err
	}
	if err := in.check(); err != nil {
		return nil, nil, err
	}
	k, v := int(binary.LittleEndian.Uint16(head)), int(binary.LittleEndian.Uint32(head[2:]))
	if k == 0 || k > MaxKeyBytes || v > MaxValueBytes {
		return nil, nil, fmt.Errorf("%w: key of %d and value of %d bytes after %d keys", ErrBadExport, k, v, in.keys)
	}
	if key, err = in.read(k); err != nil {
		return nil, nil, err
	}
	if value, err = in.read(v); err != nil {
		return nil, nil, err
	}
	if err := in.check(); err != nil {
		return nil, nil, err
	}
	if in.keys > 0 && string(key) <= string(in.last) {
		return nil, nil, fmt.Errorf("%w: key %q is out of order", ErrBadExport, key)
	}
	in.last = key
	in.keys++
	return key, value, nil
}

func (in *importer) end() error {
	b, err := in.read(8)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if n := binary.LittleEndian.Uint64(b); n != in.keys {
		return fmt.Errorf("%w: %d keys instead of %d", ErrBadExport, in.keys, n)
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrBadExport)
	}
	return io.EOF
}
