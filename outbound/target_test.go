package outbound

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
)

func TestClientRemembersTargetsWithinBounds(t *testing.T) {
	c := newClient(t, nil)
	first := must(c.target("https://a.example/x?y=1"))
	if again := must(c.target("https://a.example/x?y=1")); again.url != first.url {
		t.Error("the second attempt read the URL again")
	}
	if other := must(c.target("https://a.example/x?y=2")); other.url.RawQuery != "y=2" {
		t.Errorf("another URL is requested as %s", other.url)
	}
	for range 2 {
		if _, err := c.target("https://a.example:99999/"); !errors.As(err, new(urlRule)) {
			t.Errorf("a bad URL: %v", err)
		}
	}
	for n := range 2 * maxTargets {
		if got := must(c.target(fmt.Sprintf("https://a%d.example/", n))); got.host != fmt.Sprintf("a%d.example", n) {
			t.Fatalf("target %d is %s", n, got.host)
		}
		if len(c.targets.known) > maxTargets {
			t.Fatalf("%d are remembered", len(c.targets.known))
		}
	}
}

// TestRequestIsThatOfItsURL compares with what net/http makes of the same URL.
func TestRequestIsThatOfItsURL(t *testing.T) {
	for _, raw := range []string{"https://a.example", "https://a.example/", "https://a.example?x", "https://a.example//x", "https://a.example/a%2Fb/%c3%bc?%zz",
		"https://a.example/?", "HTTPS://A.Example.:443/ü?ü=ü", "https://[2606:4700:4700::1111]:443/x", "https://a.example/*", "https://a.example/a;b,c:d@e"} {
		c := newClient(t, nil)
		to := must(c.target(raw))
		got := must(c.request(t.Context(), to, must(c.message(claimed(raw))), sentAt))
		want := must(http.NewRequest(http.MethodPost, to.url.String(), nil))
		if got.URL.String() != want.URL.String() || got.URL.RequestURI() != want.URL.RequestURI() || got.Host != want.Host {
			t.Errorf("%s: %s of %s at %s, want %s at %s", raw, got.URL.RequestURI(), got.URL, got.Host, want.URL, want.Host)
		}
	}
}
