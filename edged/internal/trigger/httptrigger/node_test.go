package httptrigger

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// nodeDiffers lists the streams of which Node takes less than we do, each with the reason. Everything else that Node
// refuses must be refused here too.
var nodeDiffers = map[string]string{
	"unknown upgrade": "Node hands the rest to an upgrade listener; RFC 9110, 7.8: a server may ignore the field and go on",
}

// verdict is what Node made of a stream.
type verdict struct {
	Messages int    `json:"messages"`
	Code     string `json:"code"`
}

// TestNoMoreLenientThanNode sends the table to a real Node server and compares.
func TestNoMoreLenientThanNode(t *testing.T) {
	path, answers := startNode(t)
	stricter, used := 0, map[string]bool{}
	for _, c := range smuggling() {
		if c.partial {
			continue // Node calls the end in the middle an error; there is nothing to compare
		}
		node := askNode(t, path, answers, c.stream)
		ours := frame(testLimits(), []byte(c.stream))
		switch {
		case node.Code == "HPE_CLOSED_CONNECTION" && ours.status == 0 && node.Messages == len(ours.messages):
			// Bytes behind a message that ends the connection: an error to Node, dropped unread by us.
		case node.Code != "" && ours.status == 0:
			if used[c.name] = true; nodeDiffers[c.name] == "" {
				t.Errorf("%s: Node says %s, we take %d messages", c.name, node.Code, len(ours.messages))
			}
		case node.Code == "" && ours.status != 0:
			stricter++
		case node.Code == "" && node.Messages != len(ours.messages):
			if used[c.name] = true; nodeDiffers[c.name] == "" {
				t.Errorf("%s: Node reads %d messages, we %d", c.name, node.Messages, len(ours.messages))
			}
		}
	}
	for name := range nodeDiffers {
		if !used[name] {
			t.Errorf("the exception %q is not needed", name)
		}
	}
	t.Logf("%d streams are refused here and taken by Node", stricter)
}

// startNode runs Node on a socket until the test ends, or skips the test when there is none.
func startNode(t *testing.T) (string, *bufio.Reader) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("no Node to compare with: %v", err)
	}
	path := filepath.Join(t.TempDir(), "node.sock")
	cmd := exec.CommandContext(t.Context(), node, "testdata/peer.js", path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	answers := bufio.NewReader(stdout)
	if line, err := answers.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("Node says %q, %v", line, err)
	}
	return path, answers
}

// askNode sends a stream to Node and returns what its parser made of it.
func askNode(t *testing.T, path string, answers *bufio.Reader, stream string) verdict {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, stream); err == nil { // else Node has refused and closed already
		_ = c.(*net.UnixConn).CloseWrite()
	}
	_, _ = io.Copy(io.Discard, c)
	line, err := answers.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var v verdict
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return v
}
