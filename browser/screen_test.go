package browser

import "testing"

// TestScreens looks at every screen: it must fit a phone's width, and axe-core
// must find nothing serious.
func TestScreens(t *testing.T) {
	t.Parallel()
	s := NewScene(t, 104)
	t.Run("scene", s.hasOneOfEach)
	tabs := map[Visitor]*Tab{}
	for _, sc := range s.Screens() {
		tab, ok := tabs[sc.Visitor]
		if !ok {
			tab = sc.Visitor.Arrive(t, chromium)
			tabs[sc.Visitor] = tab
		}
		t.Run(sc.Name, func(t *testing.T) {
			tab := tab.in(t)
			sc.Visit(tab)
			tab.CheckAccessible()
			tab.CheckFits()
			sc.Leave(tab)
		})
	}
}
