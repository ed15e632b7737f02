package console

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// pasted is a delivery as somebody has pasted it, read.
type pasted struct {
	Method  string // "" where there was no request line
	Headers []headerView
	Body    string
	Cut     bool // whether newlines at the body's end were left out
}

// parsePasted reads a request as it goes over the wire or as curl -v prints it; the
// body may stand apart. problems are what is wrong with either, by the fields' names.
func parsePasted(delivery, body string) (p pasted, problems map[string]string) {
	delivery = strings.TrimLeft(delivery, "\r\n")
	if strings.HasPrefix(delivery, ">") || strings.HasPrefix(delivery, "* ") { // curl first tells of the connection
		delivery = uncurled(delivery)
	}
	head, rest := cutHead(delivery)
	if len(head) == 0 {
		return p, map[string]string{"delivery": "must be set"}
	}
	p, problem := parseHead(head)
	if problem != "" {
		return p, map[string]string{"delivery": problem}
	}
	if body != "" {
		if strings.Trim(rest, "\r\n") != "" {
			return p, map[string]string{"body": "must be empty, because the delivery has one already"}
		}
		rest = body
	}
	p.Body, p.Cut = restored(rest, p.header("Content-Length"), p.header("Content-Digest"))
	return p, nil
}

// uncurled is the request among what curl -v prints: the lines after a ">", and those
// without a mark before the response begins.
func uncurled(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		switch {
		case strings.HasPrefix(line, "<"):
			return b.String()
		case strings.HasPrefix(line, "> "):
			b.WriteString(line[2:])
		case strings.HasPrefix(line, ">"):
			b.WriteString(line[1:])
		case strings.HasPrefix(line, "* "), strings.HasPrefix(line, "{ ["), strings.HasPrefix(line, "} ["):
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

// cutHead takes the lines before the first empty one, and leaves all after that as
// it is.
func cutHead(s string) (head []string, rest string) {
	for s != "" {
		line, after, _ := strings.Cut(s, "\n")
		s = after
		if line = strings.TrimSuffix(line, "\r"); line == "" {
			return head, s
		}
		head = append(head, line)
	}
	return head, ""
}

// What bounds a head: about as much as servers take, and twice as many lines as the API
// takes headers, because some are folded.
const (
	maxHeadLines = 200
	maxHeadSize  = 64 << 10 // bytes
)

// parseHead reads a request line, if there is one, and header lines. problem is the
// rule that one of them breaks, or all of them.
func parseHead(lines []string) (p pasted, problem string) {
	size, values := 0, [][]string{}
	for _, line := range lines {
		size += len(line)
	}
	for n, line := range lines[:min(len(lines), maxHeadLines)] {
		if method, ok := requestLine(line); ok && n == 0 {
			p.Method = method
			continue
		}
		if last := len(values) - 1; last >= 0 && (line[0] == ' ' || line[0] == '\t') {
			// A folded line goes on with the one before (RFC 9112, section 5.2).
			values[last] = append(values[last], strings.TrimSpace(line))
			continue
		}
		if method, ok := strings.CutPrefix(line, ":method:"); ok {
			p.Method = strings.TrimSpace(method)
			continue
		}
		if strings.HasPrefix(line, ":") { // what HTTP/2 has beside its headers
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		switch valid := ok && isToken(name); {
		case !valid && n == 0:
			return p, "must begin with its headers: line 1 is none"
		case !valid:
			return p, fmt.Sprintf("must have an empty line between its headers and its body: line %d is no header", n+1)
		}
		p.Headers = append(p.Headers, headerView{Name: name})
		values = append(values, []string{strings.TrimSpace(value)})
	}
	if len(lines) > maxHeadLines || size > maxHeadSize {
		return p, fmt.Sprintf("must have at most %d lines and %d KiB of headers, before an empty line", maxHeadLines, maxHeadSize>>10)
	}
	for n, parts := range values {
		p.Headers[n].Value = join(parts...)
	}
	return p, ""
}

// requestLine reads "POST /path HTTP/1.1", with or without the version.
func requestLine(line string) (method string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 2 || len(fields) > 3 || len(fields) == 3 && !strings.HasPrefix(fields[2], "HTTP/") {
		return "", false
	}
	target := fields[1]
	return fields[0], isToken(fields[0]) && (strings.HasPrefix(target, "/") || strings.Contains(target, "://"))
}

// isToken reports whether s may be a method or a header's name (RFC 9110, section
// 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// header is the value of the first header of a name.
func (p pasted) header(name string) string {
	at := slices.IndexFunc(p.Headers, func(h headerView) bool { return strings.EqualFold(h.Name, name) })
	if at < 0 {
		return ""
	}
	return p.Headers[at].Value
}

// restored undoes what pasting does to a body. A form's lines end with CRLF, whatever
// they ended with before, and a newline at the end comes easily. The delivery itself
// says which it was, by its length or else by its hash; a body that neither fits has
// been changed, and is taken with lines that end with LF.
func restored(body, length, digest string) (restored string, cut bool) {
	unix := strings.ReplaceAll(body, "\r\n", "\n")
	spellings := append(withoutNewlines(body), withoutNewlines(unix)...)
	fits := func(s string) bool { return digestOf(s) == digest }
	if n, err := strconv.Atoi(length); err == nil {
		fits = func(s string) bool { return len(s) == n }
	}
	at := slices.IndexFunc(spellings, fits)
	if at < 0 {
		return unix, false
	}
	s := spellings[at]
	return s, s != body && s != unix
}

// maxNewlines is how many newlines a paste may have put at a body's end.
const maxNewlines = 4

// withoutNewlines is s, and s without the last newline, without the last two and so on.
func withoutNewlines(s string) []string {
	all := []string{s}
	for range maxNewlines {
		shorter, ok := strings.CutSuffix(s, "\n")
		if !ok {
			break
		}
		s = strings.TrimSuffix(shorter, "\r")
		all = append(all, s)
	}
	return all
}

// digestOf is a body's Content-Digest (PROTOCOL.md section 2).
func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=" + base64.StdEncoding.EncodeToString(sum[:])
}
