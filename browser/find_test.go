package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

const form = `<form>
	<label>Name <input name="name" value="old"></label>
	<label for="about">About</label><textarea id="about">old</textarea>
	<label>Key <input type="password"></label>
	<label>Find <input type="search"></label>
	<label>State <select><option value="1">Open</option><option value="2">Closed</option></select></label>
	<label>From <input type="datetime-local"></label>
	<label>Day <input type="date"></label>
	<label>Often <input type="number"></label>
	<input aria-label="Invisible label">
	<label><input type="checkbox" id="sure"> Sure</label>
	<button type="button" id="go">Go</button>
</form>`

func TestFillsByLabel(t *testing.T) {
	t.Parallel()
	tab := openDocument(t, form)
	for _, tt := range []struct{ label, value, want string }{
		{"Name", "ada", "ada"},
		{"Name", "", ""},
		{"About", "two\nlines", "two\nlines"},
		{"Key", "secret", "secret"},
		{"Find", `"><img src=x onerror=alert(1)>`, `"><img src=x onerror=alert(1)>`},
		{"State", "Closed", "2"},
		{"From", "2026-11-02T10:30", "2026-11-02T10:30"},
		{"Day", "2026-11-02", "2026-11-02"},
		{"Often", "12", "12"},
		{"Invisible label", "\u202e👩\u200d🚀 e\u0301", "\u202e👩\u200d🚀 e\u0301"},
	} {
		tab.Fill(tt.label, tt.value)
		if got := tab.Value(tt.label); got != tt.want {
			t.Errorf("%s is %q after %q was filled in", tt.label, got, tt.value)
		}
	}
	tab.Click("checkbox", "Sure")
	if !Eval[bool](tab, `document.getElementById('sure').checked`) {
		t.Error("the click on the checkbox did not check it")
	}
}

func TestWalksByKeyboard(t *testing.T) {
	t.Parallel()
	tab := openDocument(t, form)
	if got := tab.Focused(); got != "" {
		t.Errorf("at first %s has the focus", got)
	}
	tab.Press(kb.Tab)
	if got := tab.Focused(); got != `textbox "Name"` {
		t.Errorf("after Tab %s has the focus", got)
	}
	tab.Press("ada")
	tab.PressTabTo(`checkbox "Sure"`)
	tab.Press(" ")
	if got := tab.Value("Name"); got != "ada" {
		t.Errorf("typing came to %q", got)
	}
	if !Eval[bool](tab, `document.getElementById('sure').checked`) {
		t.Error("the blank did not check the checkbox")
	}
}

// TestFindsNothingThatAPersonWouldNot is the other test of the test.
func TestFindsNothingThatAPersonWouldNot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		do         func(*Tab)
		want       string
	}{
		{"nothing of the name", `<button>Go</button>`, func(tab *Tab) { tab.Click("button", "Stop") }, `the button "Stop" did not come`},
		{"part of the name", `<button>Go on</button>`, func(tab *Tab) { tab.Click("button", "Go") }, `did not come`},
		{"another role", `<a href="/">Go</a>`, func(tab *Tab) { tab.Click("button", "Go") }, `did not come`},
		{"two of the name", `<button>Go</button><button>Go</button>`, func(tab *Tab) { tab.Click("button", "Go") }, `there are 2`},
		{"a hidden one", `<button hidden>Go</button>`, func(tab *Tab) { tab.Click("button", "Go") }, `did not come`},
		{"one for nobody's screen reader", `<button aria-hidden="true">Go</button>`, func(tab *Tab) { tab.Click("button", "Go") }, `did not come`},
		{"one behind a dialog", `<button>Go</button><dialog id="d">Over</dialog><script src="/page.js"></script>`, func(tab *Tab) { tab.Click("button", "Go") }, `did not come`},
		{"a covered one", `<link rel="stylesheet" href="/style.css"><button>Go</button><div id="over">Over</div>`, func(tab *Tab) { tab.Click("button", "Go") }, `it is covered by <div id="over">`},
		{"text that is no label", `<span>Name</span><input>`, func(tab *Tab) { tab.Fill("Name", "ada") }, `did not come`},
		{"a disabled field", `<label>Name <input disabled></label>`, func(tab *Tab) { tab.Fill("Name", "ada") }, `it takes no value`},
		{"no such choice", `<label>State <select><option>Open</option></select></label>`, func(tab *Tab) { tab.Fill("State", "Closed") }, `no such choice: Open`},
		{"a link that leads nowhere", `<button>Go</button>`, func(tab *Tab) { tab.Follow("button", "Go") }, `another document did not come`},
		{"text that nobody sees", `<p hidden>Done</p>`, func(tab *Tab) { tab.UntilText("Done") }, `the text "Done" did not come`},
		{"what Tab does not reach", `<button tabindex="-1">Go</button>`, func(tab *Tab) { tab.PressTabTo(`button "Go"`) }, `Tab did not reach`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := serve(t, map[string]string{
				"/":          document(tt.body),
				"/page.js":   `document.getElementById('d').showModal()`,
				"/style.css": `#over { position: fixed; inset: 0; background: red }`,
			})
			got := try(t, func(tr *trial) {
				tab := chromium.Open(tr, base)
				tab.Goto("/")
				tab.patience = 300 * time.Millisecond
				tt.do(tab)
			})
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("failed by %q, not by %q", got, tt.want)
			}
		})
	}
}

func TestFindsBelowASelector(t *testing.T) {
	t.Parallel()
	tab := openDocument(t, `<div id="one"><button>Go</button></div><div id="two"><button id="b">Go</button></div>`)
	tab.ClickIn("#two", "button", "Go")
	if !Eval[bool](tab, `document.activeElement.id === 'b'`) {
		t.Error("the second was not clicked")
	}
}

func openDocument(t *testing.T, body string) *Tab {
	t.Helper()
	tab := chromium.Open(t, serve(t, map[string]string{"/": document(body)}))
	tab.Goto("/")
	return tab
}
