package httptrigger

import (
	"strconv"
	"strings"
)

// smuggleCase is a stream of bytes and what it must mean: the bodies of the messages in it, the status of the refusal
// that ends it, and whether an incomplete message is left.
type smuggleCase struct {
	name    string
	stream  string
	bodies  []string
	status  int
	partial bool
}

// smuggling returns the table. Streams are written with short names for the parts that repeat.
func smuggling() []smuggleCase {
	const (
		get  = "GET / HTTP/1.1\r\n"
		post = "POST / HTTP/1.1\r\n"
		h    = "Host: h\r\n"
		end  = "\r\n"
		te   = "Transfer-Encoding: chunked\r\n"
		next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
		cl5  = "Content-Length: 5\r\n"
	)
	none := []string{""}
	ok := func(name, stream string, bodies ...string) smuggleCase {
		if bodies == nil {
			bodies = none
		}
		return smuggleCase{name: name, stream: stream, bodies: bodies}
	}
	bad := func(name string, status int, stream string) smuggleCase {
		return smuggleCase{name: name, stream: stream, status: status}
	}
	field := func(name, line string) smuggleCase { return bad(name, 400, get+h+line+"\r\n"+end+next) }
	chunk := func(name, body string) smuggleCase { return bad(name, 400, post+h+te+end+body+next) }
	length := func(name, value string) smuggleCase {
		return bad("content-length "+name, 400, post+h+"Content-Length: "+value+"\r\n"+end+"hello"+next)
	}
	coding := func(name, value string) smuggleCase {
		return bad("transfer-encoding "+name, 501, post+h+"Transfer-Encoding: "+value+"\r\n"+end+"0\r\n\r\n"+next)
	}
	host := func(name, value string) smuggleCase {
		return bad("host "+name, 400, get+"Host: "+value+"\r\n"+end+next)
	}
	line := func(name string, status int, text string) smuggleCase {
		return bad("line "+name, status, text+"\r\n"+h+end+next)
	}
	partial := func(name, stream string) smuggleCase { return smuggleCase{name: name, stream: stream, partial: true} }

	return []smuggleCase{
		// What must pass.
		ok("get", get+h+end),
		ok("get and get", get+h+end+next, "", ""),
		ok("post with length", post+h+cl5+end+"hello", "hello"),
		ok("post with length, then get", post+h+cl5+end+"hello"+next, "hello", ""),
		ok("post with length 0, then get", post+h+"Content-Length: 0\r\n"+end+next, "", ""),
		ok("length with zeros in front", post+h+"Content-Length: 0005\r\n"+end+"hello"+next, "hello", ""),
		ok("length with white space around", post+h+"Content-Length:  5  \r\n"+end+"hello"+next, "hello", ""),
		ok("length in other case", post+h+"cOnTeNt-lEnGtH: 5\r\n"+end+"hello"+next, "hello", ""),
		ok("get with a body", get+h+cl5+end+"hello"+next, "hello", ""),
		ok("body that looks like a request", post+h+"Content-Length: "+strconv.Itoa(len(next))+"\r\n"+end+next, next),
		ok("chunked", post+h+te+end+"5\r\nhello\r\n0\r\n\r\n"+next, "hello", ""),
		ok("chunked in upper case", post+h+"TRANSFER-ENCODING: CHUNKED\r\n"+end+"5\r\nhello\r\n0\r\n\r\n"+next, "hello", ""),
		ok("chunked, two chunks", post+h+te+end+"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"+next, "hello", ""),
		ok("chunked, empty", post+h+te+end+"0\r\n\r\n"+next, "", ""),
		ok("chunked, zeros in front of the size", post+h+te+end+"0005\r\nhello\r\n0\r\n\r\n"+next, "hello", ""),
		ok("chunked, many zeros as last chunk", post+h+te+end+"5\r\nhello\r\n00000000\r\n\r\n"+next, "hello", ""),
		ok("chunked, upper case size", post+h+te+end+"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
		ok("chunked, extension", post+h+te+end+"5;a\r\nhello\r\n0\r\n\r\n"+next, "hello", ""),
		ok("chunked, extension with value", post+h+te+end+"5;a=b;c\r\nhello\r\n0;d=e\r\n\r\n"+next, "hello", ""),
		ok("chunked, extension with quotes", post+h+te+end+"5;a=\"b;c \\\" d\"\r\nhello\r\n0\r\n\r\n"+next, "hello", ""),
		ok("chunked, trailer", post+h+te+end+"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"+next, "hello", ""),
		ok("chunked body that looks like a last chunk", post+h+te+end+"5\r\n0\r\n\r\n\r\n0\r\n\r\n"+next, "0\r\n\r\n", ""),
		ok("one empty line in front", "\r\n"+get+h+end),
		ok("two empty lines in front", "\r\n\r\n"+get+h+end),
		ok("empty line between", post+h+cl5+end+"hello\r\n"+next, "hello", ""),
		ok("http 1.0", "GET / HTTP/1.0\r\n"+end),
		ok("http 1.0 ends the connection", "GET / HTTP/1.0\r\n"+end+next),
		ok("http 1.0 kept", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n"+end+next, "", ""),
		ok("http 1.0 with length", "POST / HTTP/1.0\r\n"+cl5+end+"hello", "hello"),
		ok("close ends the connection", get+h+"Connection: close\r\n"+end+next),
		ok("close in a list", get+h+"Connection: keep-alive, Close\r\n"+end+next),
		ok("close in a second field", get+h+"Connection: x\r\nConnection: close\r\n"+end+next),
		ok("close after a body", post+h+"Connection: close\r\n"+cl5+end+"hello"+next, "hello"),
		ok("connection that names a length", post+h+"Connection: Content-Length\r\n"+cl5+end+"hello"+next, "hello", ""),
		ok("options star", "OPTIONS * HTTP/1.1\r\n"+h+end),
		ok("absolute form", "GET http://h/x HTTP/1.1\r\n"+h+end),
		ok("absolute form, other host", "GET http://other/x HTTP/1.1\r\n"+h+end),
		ok("head", "HEAD / HTTP/1.1\r\n"+h+end+next, "", ""),
		ok("webdav method", "PROPFIND / HTTP/1.1\r\n"+h+end),
		ok("m-search", "M-SEARCH / HTTP/1.1\r\n"+h+end),
		ok("host empty", get+"Host:\r\n"+end),
		ok("host with port", get+"Host: h:80\r\n"+end),
		ok("host ipv6", get+"Host: [::1]:80\r\n"+end),
		ok("host ipv4", get+"Host: 127.0.0.1\r\n"+end),
		ok("value with high bytes", get+h+"X: \xff\x80\r\n"+end),
		ok("value with tab inside", get+h+"X: a\tb\r\n"+end),
		ok("value with colons", get+h+"X: a:b:c\r\n"+end),
		ok("value empty", get+h+"X:\r\n"+end),
		ok("name with all token characters", get+h+"!#$%&'*+-.^_`|~9aZ: x\r\n"+end),
		ok("unknown upgrade", get+h+"Connection: upgrade\r\nUpgrade: h2c\r\n"+end+next, "", ""),
		ok("expect continue", post+h+cl5+"Expect: 100-continue\r\n"+end+"hello"+next, "hello", ""),
		ok("expect in other case", post+h+cl5+"Expect: 100-Continue\r\n"+end+"hello", "hello"),
		ok("expect in http 1.0 is ignored", "POST / HTTP/1.0\r\n"+cl5+"Expect: magic\r\n"+end+"hello", "hello"),
		ok("query with a question mark", "GET /?a?b HTTP/1.1\r\n"+h+end),
		ok("target with percent", "GET /%41?%zz HTTP/1.1\r\n"+h+end),

		// What must be incomplete, not a message.
		partial("nothing but a method", "GET"),
		partial("head without end", get+h),
		partial("head with CR at the end", get+h+"\r"),
		partial("body too short", post+h+cl5+end+"hell"),
		partial("chunk too short", post+h+te+end+"5\r\nhell"),
		partial("no last chunk", post+h+te+end+"5\r\nhello\r\n"),
		partial("no end of trailers", post+h+te+end+"0\r\n"),
		partial("half a trailer", post+h+te+end+"0\r\nX: y\r\n"),

		// Length and encoding against each other.
		bad("both, length first", 400, post+h+cl5+te+end+"0\r\n\r\n"+next),
		bad("both, encoding first", 400, post+h+te+cl5+end+"0\r\n\r\n"+next),
		bad("both, length 0", 400, post+h+"Content-Length: 0\r\n"+te+end+"0\r\n\r\n"+next),
		bad("both, encoding not chunked", 400, post+h+cl5+"Transfer-Encoding: gzip\r\n"+end+"hello"+next),
		bad("both, encoding empty", 400, post+h+cl5+"Transfer-Encoding:\r\n"+end+"hello"+next),
		bad("two lengths, equal", 400, post+h+cl5+cl5+end+"hello"+next),
		bad("two lengths, different", 400, post+h+cl5+"Content-Length: 6\r\n"+end+"hello"+next),
		bad("two lengths, other case", 400, post+h+cl5+"content-length: 5\r\n"+end+"hello"+next),
		bad("two encodings, both chunked", 400, post+h+te+te+end+"0\r\n\r\n"+next),
		bad("two encodings, identity second", 400, post+h+te+"Transfer-Encoding: identity\r\n"+end+"0\r\n\r\n"+next),
		bad("two encodings, empty second", 400, post+h+te+"Transfer-Encoding:\r\n"+end+"0\r\n\r\n"+next),
		bad("encoding in http 1.0", 400, "POST / HTTP/1.0\r\n"+h+te+end+"0\r\n\r\n"+next),
		bad("encoding in http 1.0, kept", 400, "POST / HTTP/1.0\r\nConnection: keep-alive\r\n"+te+end+"0\r\n\r\n"+next),

		// Content-Length values.
		length("plus", "+5"), length("minus", "-5"), length("minus zero", "-0"), length("empty", ""),
		length("list", "5, 5"), length("list without space", "5,5"), length("hex", "0x5"), length("float", "5.0"),
		length("exponent", "5e0"), length("word", "five"), length("inner space", "5 5"), length("underscore", "5_0"),
		length("semicolon", "5;"), length("tab in front", "\t5"), length("tab behind", "5\t"), length("quoted", "\"5\""), length("trailing letter", "5a"),
		length("above 64 bits", "18446744073709551621"), length("above 63 bits", "9223372036854775813"),
		length("40 digits", strings.Repeat("9", 40)), length("40 digits of zero and 5", strings.Repeat("0", 39)+"5"),
		length("high digit", "\xef\xbc\x95"), length("form feed", "\f5"), length("vertical tab", "5\v"),
		length("nul", "5\x00"), length("no-break space", "\xa05"), length("CR inside", "5\r6"),

		// Transfer-Encoding values.
		coding("identity", "identity"), coding("gzip", "gzip"), coding("gzip, chunked", "gzip, chunked"),
		coding("chunked, gzip", "chunked, gzip"), coding("chunked, chunked", "chunked, chunked"),
		coding("chunked with comma", "chunked,"), coding("comma chunked", ", chunked"), coding("empty", ""),
		coding("chunked with parameter", "chunked;q=1"), coding("quoted", "\"chunked\""), coding("xchunked", "xchunked"),
		coding("chunkedx", "chunkedx"), coding("chunked twice in a word", "chunkedchunked"), coding("cut", "chunke"),
		coding("chunked space x", "chunked x"), coding("high byte", "chunked\xa0"), coding("long s", "chun\xc5\xbfed"),
		bad("transfer-encoding vertical tab", 400, post+h+"Transfer-Encoding: \vchunked\r\n"+end+"0\r\n\r\n"+next),
		bad("transfer-encoding form feed", 400, post+h+"Transfer-Encoding: chunked\f\r\n"+end+"0\r\n\r\n"+next),
		bad("transfer-encoding nul", 400, post+h+"Transfer-Encoding: chunked\x00\r\n"+end+"0\r\n\r\n"+next),

		// Fields that are none.
		field("space before colon", "Content-Length : 5"),
		field("tab before colon", "Transfer-Encoding\t: chunked"),
		field("space in front of name", " Content-Length: 5"),
		field("tab in front of name", "\tContent-Length: 5"),
		field("folded value", "X: a\r\n b"),
		field("folded value with tab", "X: a\r\n\tb"),
		field("folded transfer-encoding", "Transfer-Encoding:\r\n chunked"),
		field("no colon", "Content-Length 5"),
		field("no name", ": x"),
		field("only a colon", ":"),
		field("name with space", "Content Length: 5"),
		field("name with nul", "Content-Length\x00: 5"),
		field("name with high byte", "X\xff: 5"),
		field("name with quotes", "\"X\": 5"),
		field("name with bracket", "X[0]: 5"),
		field("name with slash", "X/Y: 5"),
		field("name with at", "X@Y: 5"),
		field("name with brace", "X{: 5"),
		field("name with DEL", "X\x7f: 5"),
		field("name with CR", "X\rY: 5"),
		field("value with nul", "X: a\x00b"),
		field("value with CR", "X: a\rb"),
		field("value with CR in front", "X:\rb"),
		field("value with CR and a field", "X: a\rContent-Length: 5"),
		field("value with DEL", "X: a\x7f"),
		field("value with escape", "X: \x1b[0m"),
		field("value with backspace", "X: \x08"),
		field("line of white space", " "),
		field("line with one CR more", "X: y\r"),

		// Line ends.
		bad("lf alone after the request line", 400, "GET / HTTP/1.1\n"+h+end+next),
		bad("lf alone after a field", 400, get+"Host: h\n"+end+next),
		bad("lf alone as end", 400, get+h+"\n"+next),
		bad("lf alone everywhere", 400, "GET / HTTP/1.1\nHost: h\n\n"),
		bad("lf alone between fields hides one", 400, get+h+"X: a\nContent-Length: 5\r\n"+end+"hello"),
		bad("lf in front", 400, "\n"+get+h+end),
		bad("cr in front", 400, "\rGET / HTTP/1.1\r\n"+h+end),
		bad("cr instead of crlf", 400, "GET / HTTP/1.1\rHost: h\r\r\n"),
		bad("lf cr", 400, "GET / HTTP/1.1\n\rHost: h\n\r\n\r"),
		bad("cr cr lf", 400, "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"),
		bad("three empty lines in front", 400, "\r\n\r\n\r\n"+get+h+end),
		bad("space in front", 400, " GET / HTTP/1.1\r\n"+h+end),

		// Request lines.
		line("two spaces after method", 400, "GET  / HTTP/1.1"),
		line("two spaces before version", 400, "GET /  HTTP/1.1"),
		line("space at the end", 400, "GET / HTTP/1.1 "),
		line("tab", 400, "GET\t/ HTTP/1.1"),
		line("tab before version", 400, "GET /\tHTTP/1.1"),
		line("three words", 400, "GET / x HTTP/1.1"),
		line("no version", 400, "GET /"),
		line("no version but space", 400, "GET / "),
		line("only a method", 400, "GET"),
		line("lower case method", 400, "get / HTTP/1.1"),
		line("unknown method", 501, "FETCH / HTTP/1.1"),
		line("unknown method with prefix", 501, "GETX / HTTP/1.1"),
		line("connect", 501, "CONNECT h:80 HTTP/1.1"),
		line("trace", 501, "TRACE / HTTP/1.1"),
		line("method with colon", 400, "G:T / HTTP/1.1"),
		line("method with nul", 400, "GE\x00T / HTTP/1.1"),
		line("star with get", 400, "GET * HTTP/1.1"),
		line("star and more", 400, "OPTIONS *x HTTP/1.1"),
		line("relative target", 400, "GET index HTTP/1.1"),
		line("target with fragment", 400, "GET /#x HTTP/1.1"),
		line("target with nul", 400, "GET /\x00 HTTP/1.1"),
		line("target with high byte", 400, "GET /\xff HTTP/1.1"),
		line("target with DEL", 400, "GET /\x7f HTTP/1.1"),
		line("target with quote", 400, "GET /\" HTTP/1.1"),
		line("target with backslash", 400, "GET \\ HTTP/1.1"),
		line("target with CR", 400, "GET /\rX HTTP/1.1"),
		line("target with bad percent", 400, "GET /%4g HTTP/1.1"),
		line("target with cut percent", 400, "GET /%4 HTTP/1.1"),
		line("absolute ftp", 400, "GET ftp://h/ HTTP/1.1"),
		line("absolute without host", 400, "GET http:///x HTTP/1.1"),
		line("absolute with user", 400, "GET http://u@h/x HTTP/1.1"),
		line("absolute with bad port", 400, "GET http://h:x/ HTTP/1.1"),
		line("version 0.9", 505, "GET / HTTP/0.9"),
		line("version 1.2", 505, "GET / HTTP/1.2"),
		line("version 2.0", 505, "GET / HTTP/2.0"),
		line("version 1.1 in lower case", 400, "GET / http/1.1"),
		line("version 1", 400, "GET / HTTP/1"),
		line("version 1.10", 400, "GET / HTTP/1.10"),
		line("version 01.1", 400, "GET / HTTP/01.1"),
		line("version with space", 400, "GET / HTTP/ 1.1"),
		line("version x", 400, "GET / HTTP/1.x"),
		line("other protocol", 400, "GET / ICAP/1.0"),
		bad("http 2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		bad("tls hello", 400, "\x16\x03\x01\x02\x00\x01"),

		// Host.
		bad("host missing", 400, get+end+next),
		bad("host twice", 400, get+h+h+end+next),
		bad("host twice, different", 400, get+h+"Host: g\r\n"+end+next),
		bad("host twice in http 1.0", 400, "GET / HTTP/1.0\r\n"+h+h+end),
		bad("absolute form without host", 400, "GET http://h/ HTTP/1.1\r\n"+end),
		host("list", "a, b"), host("with space", "a b"), host("with path", "a/b"), host("with user", "u@a"), host("percent", "a%41"),
		host("with query", "a?b"), host("with fragment", "a#b"), host("with bad port", "a:b"), host("with two ports", "a:1:2"),
		host("with long port", "a:123456"), host("open bracket", "[::1"), host("empty bracket", "[]"),
		host("bracket with name", "[host]"), host("after bracket", "[::1]x"), host("high byte", "h\xff"), host("backslash", "a\\b"),
		host("quote", "\"a\""), host("angle", "<a>"),

		// Chunks.
		chunk("chunk size empty", "\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with plus", "+5\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with minus", "-5\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size minus zero", "-0\r\n\r\n"),
		chunk("chunk size with underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with letter g", "5g\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with space in front", " 5\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with space behind", "5 \r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with tab behind", "5\t\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with nul", "5\x00\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size with CR", "5\r\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size of 9 digits", "000000005\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size of 17 digits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk size ends with lf", "5\nhello\r\n0\r\n\r\n"),
		chunk("chunk size ends with cr", "5\rhello\r\n0\r\n\r\n"),
		chunk("chunk ends with lf", "5\r\nhello\n0\r\n\r\n"),
		chunk("chunk ends with cr", "5\r\nhello\r0\r\n\r\n"),
		chunk("chunk ends with a byte and lf", "5\r\nhelloX\n0\r\n\r\n"),
		chunk("chunk ends with nothing", "5\r\nhello0\r\n\r\n"),
		chunk("chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n"),
		chunk("chunk shorter than its size", "7\r\nhello\r\n0\r\n\r\n"),
		chunk("last chunk ends with lf", "5\r\nhello\r\n0\n\r\n"),
		chunk("end of trailers is lf", "5\r\nhello\r\n0\r\n\n"),
		chunk("extension without name", "5;\r\nhello\r\n0\r\n\r\n"),
		chunk("extension with space", "5; a\r\nhello\r\n0\r\n\r\n"),
		chunk("extension without semicolon", "5a=b\r\nhello\r\n0\r\n\r\n"),
		chunk("extension with lf", "5;a\nhello\r\n0\r\n\r\n"),
		chunk("extension with cr", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
		chunk("extension with nul", "5;a=\x00\r\nhello\r\n0\r\n\r\n"),
		chunk("extension without value", "5;a=\r\nhello\r\n0\r\n\r\n"),
		chunk("extension with open quote", "5;a=\"b\r\nhello\r\n0\r\n\r\n"),
		chunk("extension with lf in quotes", "5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n"),
		chunk("extension too long", "5;"+strings.Repeat("a", 300)+"\r\nhello\r\n0\r\n\r\n"),
		chunk("trailer without colon", "0\r\nfoo\r\n\r\n"),
		chunk("trailer with space before colon", "0\r\nfoo : bar\r\n\r\n"),
		chunk("trailer folded", "0\r\nfoo: bar\r\n baz\r\n\r\n"),
		chunk("trailer with lf", "0\r\nfoo: bar\n\r\n"),
		chunk("trailer with cr", "0\r\nfoo: b\rar\r\n\r\n"),
		chunk("trailer with length", "0\r\nContent-Length: 3\r\n\r\n"),
		chunk("trailer with encoding", "0\r\ntransfer-encoding: chunked\r\n\r\n"),
		chunk("trailer with host", "0\r\nHost: x\r\n\r\n"),
		chunk("trailer is a request", "0\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
		bad("chunk extensions add up", 400, post+h+te+end+strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 50)+"0\r\n\r\n"),
		bad("trailers too long", 431, post+h+te+end+"0\r\n"+strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 10)+"\r\n"),
		bad("trailer line too long", 431, post+h+te+end+"0\r\nX: "+strings.Repeat("a", 9000)+"\r\n\r\n"),
		bad("trailers too many", 431, post+h+te+end+"0\r\n"+strings.Repeat("X: y\r\n", 200)+"\r\n"),
		bad("chunk above the limit", 413, post+h+te+end+"200000\r\n"),
		bad("chunk size of 8 digits above the limit", 413, post+h+te+end+"ffffffff\r\n"),

		// Sizes.
		bad("length above the limit", 413, post+h+"Content-Length: 1048577\r\n"+end),
		bad("length far above the limit", 413, post+h+"Content-Length: 999999999999999999\r\n"+end),
		bad("length of 19 digits", 400, post+h+"Content-Length: 9223372036854775807\r\n"+end),
		bad("request line too long", 414, "GET /"+strings.Repeat("a", 9000)+" HTTP/1.1\r\n"+h+end),
		bad("request line without end", 414, "GET /"+strings.Repeat("a", 9000)),
		bad("section too long", 431, get+h+"X: "+strings.Repeat("a", 33000)+"\r\n"+end),
		bad("section without end", 431, get+h+strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 40)),
		bad("fields too many", 431, get+h+strings.Repeat("X: y\r\n", 200)+end),

		// Expectations.
		bad("expect magic", 417, post+h+cl5+"Expect: magic\r\n"+end+"hello"),
		bad("expect twice", 417, post+h+cl5+"Expect: 100-continue\r\nExpect: 100-continue\r\n"+end+"hello"),
		bad("expect with parameter", 417, post+h+cl5+"Expect: 100-continue; x\r\n"+end+"hello"),
		bad("expect empty", 417, post+h+cl5+"Expect:\r\n"+end+"hello"),

		// A good message first: the refusal is the second one's.
		{name: "good then bad", stream: next + "GET / HTTP/1.1\n", bodies: none, status: 400},
		{name: "body then garbage", stream: post + h + cl5 + end + "hello\x00", bodies: []string{"hello"}, status: 400},
		{name: "body longer than its length", stream: post + h + cl5 + end + "helloworld", bodies: []string{"hello"}, status: 400},
		{name: "chunked then garbage", stream: post + h + te + end + "0\r\n\r\nx", bodies: none, status: 400},
	}
}
