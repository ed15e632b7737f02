package browser

import "testing"

// TestScreens looks at every screen: it must fit a phone's width, and axe-core
// must find nothing serious.
func TestScreens(t *testing.T) {
	s := NewScene(t, 104)
	for _, sc := range s.Screens() {
		t.Run(sc.Name, func(t *testing.T) {
			tab := chromium.Open(t, s.BaseURL())
			if !sc.SignedOut {
				tab.SignIn(s.APIKey)
			}
			sc.Visit(tab)
			tab.CheckAccessible()
			tab.CheckFits()
		})
	}
}
