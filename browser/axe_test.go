package browser

import (
	"strings"
	"testing"
)

// TestAxeFindsFaults is the test of the test: each way of looking at a page has
// something that only it shows.
func TestAxeFindsFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body, style string
		want              []string // the rules that are broken, in the order of looking
	}{
		{name: "nothing", body: `<p>Well.</p>`},
		{name: "no label", body: `<input>`, want: []string{"light, 390 wide: label", "light, 1280 wide: label"}},
		{name: "too little contrast", body: `<p>Pale.</p>`, style: `p { color: #ccc; background: #fff }`, want: []string{"color-contrast", "color-contrast", "color-contrast", "color-contrast"}},
		{
			name: "too little contrast in the dark", body: `<p>Pale.</p>`,
			style: `@media (prefers-color-scheme: dark) { html { background: #000 } p { color: #222 } }`,
			want:  []string{"dark, 390 wide: color-contrast", "dark, 1280 wide: color-contrast"},
		},
		{
			name: "too little contrast on a phone", body: `<p>Pale.</p>`,
			style: `@media (max-width: 600px) { p { color: #ccc } }`,
			want:  []string{"dark, 390 wide: color-contrast", "light, 390 wide: color-contrast"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head := `<!doctype html><html lang="en"><head><title>A page</title><meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/style.css"></head>`
			base := serve(t, map[string]string{"/": head + `<body><main><h1>A page</h1>` + tt.body + `</main></body></html>`, "/style.css": tt.style})
			got := try(t, func(tr *trial) {
				tab := chromium.Open(tr, base)
				tab.Goto("/")
				tab.CheckAccessible()
			})
			if len(got) != len(tt.want) {
				t.Fatalf("failed by %q, not by %q", got, tt.want)
			}
			for n, want := range tt.want {
				if !strings.Contains(got[n], want) {
					t.Errorf("failed by %q, not by %s", got[n], want)
				}
			}
		})
	}
}
