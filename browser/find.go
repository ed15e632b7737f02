package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// fillable are the roles, as Chromium has them, of what takes a value.
var fillable = []string{"textbox", "searchbox", "combobox", "listbox", "spinbutton", "Date", "DateTime", "InputTime"}

// Has reports whether the page now has something of a role and a name that a
// screen reader would find.
func (t *Tab) Has(role, name string) bool {
	t.tb.Helper()
	nodes, err := t.query("document", role, name)
	if err != nil {
		t.fail("looking for the %s %q: %v", role, name, err)
	}
	return len(nodes) > 0
}

// Click clicks on the one thing of a role and a name, where a mouse would; what
// covers it fails the test. It waits for it to be there.
func (t *Tab) Click(role, name string) {
	t.tb.Helper()
	t.clickNode(fmt.Sprintf("the %s %q", role, name), t.find("document", []string{role}, name))
}

// ClickIn is Click below the first element that a CSS selector matches, for what
// a page has several of.
func (t *Tab) ClickIn(selector, role, name string) {
	t.tb.Helper()
	t.clickNode(fmt.Sprintf("the %s %q of %s", role, name, selector), t.find(querySelector(selector), []string{role}, name))
}

// Unfold opens what is folded behind a name, or folds it again.
func (t *Tab) Unfold(name string) {
	t.tb.Helper()
	t.clickNode(fmt.Sprintf("the fold %q", name), t.find("document", []string{"DisclosureTriangle"}, name))
}

// Follow clicks, and waits for the document that it leads to.
func (t *Tab) Follow(role, name string) {
	t.tb.Helper()
	t.Loads(func() { t.Click(role, name) })
}

// Loads waits for the document that do leads to.
func (t *Tab) Loads(do func()) {
	t.tb.Helper()
	before := t.Navigations()
	do()
	t.until("another document", func() bool { return t.Navigations() > before })
	t.Until("the document's end", `document.readyState === 'complete'`)
}

// Fill gives the field with the label a value in place of the one it has: types
// it where people type, chooses where they choose.
func (t *Tab) Fill(label, value string) {
	t.tb.Helper()
	t.fillNode(label, t.find("document", fillable, label), value)
}

// FillIn is Fill below the first element that a CSS selector matches.
func (t *Tab) FillIn(selector, label, value string) {
	t.tb.Helper()
	t.fillNode(label, t.find(querySelector(selector), fillable, label), value)
}

// Value returns what is in the field with the label.
func (t *Tab) Value(label string) string {
	t.tb.Helper()
	v, err := callOn[string](t, t.find("document", fillable, label), `function() { return this.value }`)
	if err != nil {
		t.fail("reading the field %q: %v", label, err)
	}
	return v
}

// Press presses keys, one after the other: characters, or those of the package
// kb, such as kb.Tab.
func (t *Tab) Press(keys string) {
	t.tb.Helper()
	t.do(fmt.Sprintf("pressing %q", keys), chromedp.KeyEvent(keys))
}

// Focused returns the role and the name of what has the focus, as in
// `button "Sign in"`; "" when nothing has.
func (t *Tab) Focused() string {
	t.tb.Helper()
	object, err := t.object(`document.activeElement`)
	if err != nil {
		t.fail("finding the focus: %v", err)
	}
	tree, err := chromedp.Call(t.ctx, accessibility.GetPartialAXTree, accessibility.GetPartialAXTreeParams{ObjectID: object, FetchRelatives: new(false)})
	if err != nil {
		t.fail("finding the focus: %v", err)
	}
	if len(tree.Nodes) == 0 || word(tree.Nodes[0].Role) == "RootWebArea" || tree.Nodes[0].Ignored {
		return ""
	}
	return fmt.Sprintf("%s %q", word(tree.Nodes[0].Role), word(tree.Nodes[0].Name))
}

// PressTabTo presses Tab until what it names, as Focused does, has the focus.
func (t *Tab) PressTabTo(focused string) {
	t.tb.Helper()
	const most = 200
	var seen []string
	for range most {
		t.Press(kb.Tab)
		f := t.Focused()
		if f == focused {
			return
		}
		seen = append(seen, f)
	}
	t.fail("Tab did not reach %s, but %s", focused, strings.Join(seen, ", "))
}

// find waits for the one node of a name that has one of the roles.
func (t *Tab) find(root string, roles []string, name string) cdp.BackendNodeID {
	t.tb.Helper()
	var nodes []*accessibility.Node
	var err error
	what := fmt.Sprintf("%s %q", strings.Join(roles, " or "), name)
	t.until("the "+what, func() bool {
		nodes, err = t.query(root, "", name)
		nodes = slices.DeleteFunc(nodes, func(n *accessibility.Node) bool { return !slices.Contains(roles, word(n.Role)) })
		return err == nil && len(nodes) > 0
	})
	if len(nodes) > 1 {
		t.fail("there are %d of %s", len(nodes), what)
	}
	return nodes[0].BackendDOMNodeID
}

// query returns the nodes below root, a JavaScript expression, that are there for
// a screen reader. An empty role stands for any.
func (t *Tab) query(root, role, name string) ([]*accessibility.Node, error) {
	object, err := t.object(root)
	if err != nil {
		return nil, err
	}
	res, err := chromedp.Call(t.ctx, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{ObjectID: object, Role: role, AccessibleName: name})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(res.Nodes, func(n *accessibility.Node) bool { return n.Ignored }), nil
}

func (t *Tab) object(expression string) (runtime.RemoteObjectID, error) {
	o, err := chromedp.Run(t.ctx, chromedp.Evaluate[*runtime.RemoteObject](expression))
	if err != nil {
		return "", err
	}
	if o.ObjectID == "" {
		return "", fmt.Errorf("%s is not there", expression)
	}
	return o.ObjectID, nil
}

func (t *Tab) clickNode(what string, node cdp.BackendNodeID) {
	t.tb.Helper()
	t.do("clicking "+what, func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		if _, err := cdp.Call(ctx, target, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: node}); err != nil {
			return chromedp.Void{}, err
		}
		quads, err := cdp.Call(ctx, target, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: node})
		if err != nil {
			return chromedp.Void{}, err
		}
		if len(quads.Quads) == 0 {
			return chromedp.Void{}, fmt.Errorf("it takes no room")
		}
		x, y := centre(quads.Quads[0])
		covered, err := callOn[string](t, node, fmt.Sprintf(`function() {
			const top = document.elementFromPoint(%f, %f)
			return this.contains(top) || top?.closest('label')?.control === this ? '' : 'by ' + (top?.outerHTML ?? 'the window')
		}`, x, y))
		if err != nil || covered != "" {
			return chromedp.Void{}, fmt.Errorf("it is covered %s: %w", covered, err)
		}
		return chromedp.MouseClickXY(x, y)(ctx, target)
	})
}

func centre(q dom.Quad) (x, y float64) {
	return (q[0] + q[2] + q[4] + q[6]) / 4, (q[1] + q[3] + q[5] + q[7]) / 4
}

// fillNode types as a paste does: in one piece, so that any character arrives.
func (t *Tab) fillNode(label string, node cdp.BackendNodeID, value string) {
	t.tb.Helper()
	set, err := callOn[bool](t, node, fmt.Sprintf(`function() {
		if (this.disabled || this.readOnly) throw new Error('it takes no value')
		const value = %s
		if (this.tagName === 'SELECT') {
			const option = [...this.options].find(o => o.label === value || o.value === value)
			if (!option) throw new Error('it has no such choice: ' + [...this.options].map(o => o.label))
			this.value = option.value
		} else if (/^(date|time|datetime-local|month|week|color|range)$/.test(this.type)) {
			this.value = value
			if (this.value !== value) throw new Error('it did not take the value')
		} else {
			this.focus()
			this.select()
			return false
		}
		this.dispatchEvent(new Event('input', {bubbles: true}))
		this.dispatchEvent(new Event('change', {bubbles: true}))
		return true
	}`, quote(value)))
	switch {
	case err != nil:
		t.fail("filling the field %q: %v", label, err)
	case set:
	case value == "":
		t.Press(kb.Delete)
	default:
		t.do(fmt.Sprintf("filling the field %q", label), func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
			return callVoid(ctx, input.InsertText, input.InsertTextParams{Text: value})
		})
	}
}

// callOn calls a JavaScript function with the node as this.
func callOn[T any](t *Tab, node cdp.BackendNodeID, function string) (T, error) {
	var zero T
	res, err := chromedp.Call(t.ctx, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: node})
	if err != nil {
		return zero, err
	}
	return chromedp.Run(t.ctx, chromedp.CallFunctionOn[T](function, func(p *runtime.CallFunctionOnParams) { p.ObjectID = res.Object.ObjectID }))
}

func callVoid[P, R any](ctx context.Context, command cdp.Command[P, R], params P) (chromedp.Void, error) {
	_, err := chromedp.Call(ctx, command, params)
	return chromedp.Void{}, err
}

func querySelector(selector string) string {
	return fmt.Sprintf("document.querySelector(%s)", quote(selector))
}

// quote returns s as a JavaScript string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // which cannot happen: it is a string
		panic(err)
	}
	return string(b)
}

func word(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	_ = json.Unmarshal(v.Value, &s)
	return s
}
