package console

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePasted(t *testing.T) {
	host := []headerView{{"Host", "receiver.example"}}
	const wire = "POST /hook HTTP/1.1\nHost: receiver.example\n\n"
	with := func(name, value string) []headerView { return append(host[:1:1], headerView{name, value}) }
	for name, tt := range map[string]struct {
		delivery, body string
		want           pasted
	}{
		"LF":                         {wire + `{"a":1}`, "", pasted{"POST", host, `{"a":1}`, false}},
		"CRLF":                       {strings.ReplaceAll(wire, "\n", "\r\n") + `{"a":1}`, "", pasted{"POST", host, `{"a":1}`, false}},
		"no request line":            {"Host: receiver.example\n\n{}", "", pasted{"", host, "{}", false}},
		"no version":                 {"GET https://receiver.example/\nHost: receiver.example\n\n{}", "", pasted{"GET", host, "{}", false}},
		"empty lines before":         {"\r\n\n" + wire + "{}", "", pasted{"POST", host, "{}", false}},
		"a folded header":            {"Host: receiver.example\nX-Odd: one\n\t two\n   three\n\n{}", "", pasted{"", with("X-Odd", "one two three"), "{}", false}},
		"a folded header of nothing": {"Host: receiver.example\nX-Odd:\n \n\t\n two\n \n\n{}", "", pasted{"", with("X-Odd", "two"), "{}", false}},
		"a header without blank":     {"Host:receiver.example\nX-Odd:\n\n{}", "", pasted{"", with("X-Odd", ""), "{}", false}},
		"HTTP/2":                     {":method: POST\n:path: /hook\nHost: receiver.example\n\n{}", "", pasted{"POST", host, "{}", false}},
		"blank lines in the body":    {wire + "\n{\n\n \"a\": 1 }\n\n", "", pasted{"POST", host, "\n{\n\n \"a\": 1 }\n\n", false}},
		"headers alone":              {wire, "", pasted{"POST", host, "", false}},
		"a body apart":               {strings.TrimSpace(wire), "\n{}", pasted{"POST", host, "\n{}", false}},
		"a body apart, after empty lines": {
			wire + "\n\n", "{}", pasted{"POST", host, "{}", false}},
		"a form's lines": {"Host: receiver.example\r\n\r\n{\r\n}", "", pasted{"", host, "{\n}", false}},
		"a form's lines that were so": {
			"Host: receiver.example\r\nContent-Length: 4\r\n\r\n{\r\n}", "", pasted{"", with("Content-Length", "4"), "{\r\n}", false}},
		"a newline of the paste": {
			"Host: receiver.example\nContent-Length: 3\n\n{\r\n}\r\n", "", pasted{"", with("Content-Length", "3"), "{\n}", true}},
		"a newline of the body": {
			"Host: receiver.example\ncontent-length: 3\n\n{}\r\n", "", pasted{"", with("content-length", "3"), "{}\n", false}},
		"more than a newline": {
			"Host: receiver.example\nContent-Length: 2\n\n{} x\n", "", pasted{"", with("Content-Length", "2"), "{} x\n", false}},
		"less than there should be": {
			"Host: receiver.example\nContent-Length: 9\n\n{}", "", pasted{"", with("Content-Length", "9"), "{}", false}},
		"a newline of the paste, by the hash": {
			"Host: receiver.example\nContent-Digest: " + digestOf("{}") + "\n\n{}\r\n", "", pasted{"", with("Content-Digest", digestOf("{}")), "{}", true}},
		"a form's lines that were so, by the hash": {
			"Host: receiver.example\nContent-Digest: " + digestOf("{\r\n}") + "\n\n{\r\n}", "", pasted{"", with("Content-Digest", digestOf("{\r\n}")), "{\r\n}", false}},
		"curl -v": {
			"> POST /hook HTTP/1.1\r\n> Host: receiver.example\r\n> \r\n} [7 bytes data]\r\n* upload completely sent off: 7 bytes\r\n< HTTP/1.1 200 OK\r\n< \r\n{\"version\":\"v1\"}", "{}",
			pasted{"POST", host, "{}", false}},
		"curl -v, from the start": {"*   Trying 192.0.2.1:443...\n* Connected\n> Host: receiver.example\n>\n{\"a\":1}\n< HTTP/1.1 200 OK\n", "", pasted{"", host, "{\"a\":1}\n", false}},
		"curl -v, a body between": {"> Host: receiver.example\n>\n{\"a\":1}\n* sent\n< HTTP/1.1 200 OK\n", "", pasted{"", host, "{\"a\":1}\n", false}},
		"quoted whole":            {"> Host: receiver.example\n>\n> {}", "", pasted{"", host, "{}", false}},
	} {
		got, problems := parsePasted(tt.delivery, tt.body)
		if diff := cmp.Diff(tt.want, got); diff != "" || problems != nil {
			t.Errorf("%s: %v, -want +got\n%s", name, problems, diff)
		}
	}
}

func TestParsePastedRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		delivery, body string
		field, problem string // what the problem has in it
	}{
		"nothing":                {"", "", "delivery", "must be set"},
		"empty lines":            {"\r\n\r\n", "{}", "delivery", "must be set"},
		"a body alone":           {`{"version":"v1"}`, "", "delivery", "line 1"},
		"no empty line":          {"POST / HTTP/1.1\nHost: a\n{\"version\":\"v1\"}", "", "delivery", "line 3"},
		"a line without a colon": {"Host: a\nwhat\n\n{}", "", "delivery", "line 2"},
		"folded from nothing":    {" folded: x\n\n{}", "", "delivery", "line 1"},
		"two request lines":      {"POST / HTTP/1.1\nPOST / HTTP/1.1\n\n{}", "", "delivery", "line 2"},
		"too many folded lines":  {"Host: a\n" + strings.Repeat(" a\n", 200), "", "delivery", "at most 200 lines"},
		"a megabyte of lines":    {"Host: a\n" + strings.Repeat(" a\n", 350_000), "", "delivery", "at most 200 lines"},
		"too large":              {"Host: " + strings.Repeat("a", 64<<10) + "\n\n{}", "", "delivery", "64 KiB"},
		"a large body alone":     {"[\n" + strings.Repeat("0,\n", 30_000) + "0]", "", "delivery", "line 1"},
		"two bodies":             {"Host: a\n\n{}", "{}", "body", "must be empty"},
	} {
		_, problems := parsePasted(tt.delivery, tt.body)
		if len(problems) != 1 || !strings.Contains(problems[tt.field], tt.problem) {
			t.Errorf("%s: %v, want %s %s", name, problems, tt.field, tt.problem)
		}
	}
}

func TestRestoredLengthIsNoNumber(t *testing.T) {
	for _, length := range []string{"", "-1", "x", strconv.Itoa(1 << 40)} {
		if body, cut := restored("{}\r\n", length, ""); body != "{}\n" || cut {
			t.Errorf("length %q: %q, cut %t", length, body, cut)
		}
	}
}
