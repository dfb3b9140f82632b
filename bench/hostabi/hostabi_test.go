package hostabi

import "testing"

func TestCall(t *testing.T) {
	c := Call{Out: []byte("old"), Failed: []byte("old")}
	c.Reset([]byte("/app/fib?20"), []byte("body"))
	if string(c.Entry) != "fib" || string(c.Query) != "20" || len(c.Out) != 0 || c.Failed != nil {
		t.Fatalf("%+v", c)
	}
	buf := make([]byte, 2)
	for _, row := range []struct {
		name string
		got  int32
		want int32
	}{
		{"the query", c.Meta([]byte("query"), buf), 2},
		{"the query without room", c.Meta([]byte("query"), nil), 2},
		{"another fact", c.Meta([]byte("method"), buf), notFound},
		{"the body's middle", c.Read(1, buf), 2},
		{"behind the body", c.Read(4, buf), 0},
		{"far behind the body", c.Read(1<<32-1, buf), 0},
		{"some output", c.Write([]byte("abc")), 3},
		{"too much output", c.Write(make([]byte, maxOutput)), tooLarge},
		{"a header", c.Header([]byte("A"), []byte("b")), 0},
	} {
		if row.got != row.want {
			t.Errorf("%s: %d, want %d", row.name, row.got, row.want)
		}
	}
	if string(buf) != "od" || string(c.Out) != "abc" || string(c.Fields) != "A: b\r\n" {
		t.Errorf("%q %q %q", buf, c.Out, c.Fields)
	}
}
