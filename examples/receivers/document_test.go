package receivers

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const document = "../../docs/receivers.md"

// sources are the files that the document may show, by the language of a block.
var sources = map[string][]string{
	"go":     {"go/*.go", "../../receiver/example_test.go"},
	"js":     {"node/*.mjs"},
	"python": {"python/*.py"},
}

var codeBlock = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")

// TestTheDocumentShowsTheProgramsOwnText, as it is tested, but for the indentation.
func TestTheDocumentShowsTheProgramsOwnText(t *testing.T) {
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]int{}
	for _, block := range codeBlock.FindAllStringSubmatch(string(b), -1) {
		language, text := block[1], block[2]
		shown[language]++
		if !slices.ContainsFunc(texts(t, sources[language]), func(source string) bool {
			return strings.Contains(unindented(source), unindented(text))
		}) {
			t.Errorf("no program in %s has this text:\n%s", language, text)
		}
	}
	for language := range sources {
		if shown[language] == 0 {
			t.Errorf("the document shows nothing in %s", language)
		}
	}
}

func texts(t *testing.T, patterns []string) []string {
	t.Helper()
	var all []string
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(b))
		}
	}
	return all
}

// unindented has a newline before and behind each line, so that whole lines are found.
func unindented(text string) string {
	var b strings.Builder
	b.WriteString("\n")
	for line := range strings.Lines(strings.TrimSpace(text)) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}
