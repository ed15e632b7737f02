package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/riposte-dev/riposte/ripostetest"
)

// aPage is a list's answer.
type aPage struct {
	List          []struct{ ID, DisplayName string }
	NextPageToken *string
}

func (p aPage) ids() []string {
	ids := make([]string, len(p.List))
	for i, each := range p.List {
		ids[i] = each.ID
	}
	return ids
}

func (r response) page(t *testing.T) aPage {
	t.Helper()
	r.ok(t)
	var p aPage
	if err := json.Unmarshal(r.body, &p); err != nil || p.NextPageToken == nil || p.List == nil {
		t.Fatalf("no page: %v: %s", err, r.body)
	}
	return p
}

func list(t *testing.T, s *ripostetest.Server, query string) response {
	t.Helper()
	return rest(t, s, http.MethodGet, "/api/v1/webhooks?"+query, "")
}

func search(t *testing.T, s *ripostetest.Server, body string) response {
	t.Helper()
	return rest(t, s, http.MethodPost, "/api/v1/search/webhooks", body)
}

// TestList has the rules of lists, on a server with 105 webhooks of its own.
func TestList(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	const total = 105
	ids := make([]string, total)
	var creating sync.WaitGroup
	for n := range total {
		creating.Go(func() {
			w := createWebhook(t, s, fmt.Sprintf(`{"displayName":"w%d","description":"odd%d","url":%q}`, n, n%2, nowhere))
			ids[n] = part[string](t, w, "id")
		})
	}
	creating.Wait()
	slices.Sort(ids)
	slices.Reverse(ids)

	for query, want := range map[string]int{
		"": 25, "page_size=0": 25, "page_size=": 25, "page_size=1": 10, "page_size=9": 10, "page_size=10": 10, "page_size=11": 11,
		"page_size=100": 100, "page_size=101": 100, "page_size=2147483647": 100, "pageSize=12": 12, "page_token=": 25,
	} {
		t.Run("page_size/"+query, func(t *testing.T) {
			t.Parallel()
			p := list(t, s, query).page(t)
			if !slices.Equal(p.ids(), ids[:want]) || *p.NextPageToken == "" {
				t.Errorf("there are %d with the token %q, want the newest %d", len(p.List), *p.NextPageToken, want)
			}
			body := `{}`
			if name, value, _ := strings.Cut(query, "="); value != "" {
				body = fmt.Sprintf(`{%q:%s}`, name, value)
			}
			if p := search(t, s, body).page(t); !slices.Equal(p.ids(), ids[:want]) || *p.NextPageToken == "" {
				t.Errorf("Search gives %d with the token %q, want the newest %d", len(p.List), *p.NextPageToken, want)
			}
		})
	}
	for _, query := range []string{"page_size=-1", "page_size=ten", "page_size=1.5", "page_size=0x10", "page_size=10&page_size=20",
		"page_token=junk", "page_token=%00", "page_token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		t.Run("400/"+query, func(t *testing.T) {
			t.Parallel()
			list(t, s, query).refused(t, 400, "INVALID_ARGUMENT")
		})
	}
	for _, body := range []string{`{"pageSize":-1}`, `{"pageSize":"ten"}`, `{"pageToken":"junk"}`, `{"pageToken":1}`} {
		t.Run("400/Search "+body, func(t *testing.T) {
			t.Parallel()
			search(t, s, body).refused(t, 400, "INVALID_ARGUMENT")
		})
	}

	for _, size := range []int{10, 35, 50, 100} { // 35 fills the last page
		t.Run(fmt.Sprintf("page by page/%d at a time", size), func(t *testing.T) {
			t.Parallel()
			var listed, found []string
			pages := 0
			for token := ""; ; pages++ {
				p := list(t, s, fmt.Sprintf("page_size=%d&page_token=%s", size, url.QueryEscape(token))).page(t)
				listed = append(listed, p.ids()...)
				if token = *p.NextPageToken; token == "" {
					break
				}
			}
			for token := ""; ; {
				p := search(t, s, fmt.Sprintf(`{"query":"ODD1","pageSize":%d,"pageToken":%q}`, size, token)).page(t)
				found = append(found, p.ids()...)
				if token = *p.NextPageToken; token == "" {
					break
				}
			}
			if !slices.Equal(listed, ids) {
				t.Errorf("List gave %d in all, want %d, newest first", len(listed), total)
			}
			if want := (total - 1) / size; pages != want {
				t.Errorf("%d pages had a next one, want %d", pages, want)
			}
			if len(found) != total/2 {
				t.Errorf("Search gave %d in all, want %d", len(found), total/2)
			}
		})
	}

	t.Run("page_token is bound to its filter", func(t *testing.T) {
		t.Parallel()
		ofList := *list(t, s, "page_size=10").page(t).NextPageToken
		ofAll := *search(t, s, `{"pageSize":10}`).page(t).NextPageToken
		ofQuery := *search(t, s, `{"pageSize":10,"query":"odd1"}`).page(t).NextPageToken
		refs, err := json.Marshal(ids[:20])
		if err != nil {
			t.Fatal(err)
		}
		asRefs := strings.NewReplacer(`["`, `[{"id":"`, `","`, `"},{"id":"`, `"]`, `"}]`).Replace(string(refs))
		ofRefs := *search(t, s, `{"pageSize":10,"refs":`+asRefs+`}`).page(t).NextPageToken
		if ofList == "" || ofAll == "" || ofQuery == "" || ofRefs == "" {
			t.Fatal("a first page has no token")
		}
		for _, token := range []string{ofAll, ofQuery, ofRefs, ofList[:len(ofList)-1], ofList + "A"} {
			list(t, s, "page_token="+token).refused(t, 400, "INVALID_ARGUMENT").wantField(t, "pageToken")
		}
		for body, tokens := range map[string][]string{
			`"query":"odd1"`:     {ofList, ofAll, ofRefs},
			`"query":"odd0"`:     {ofQuery},
			`"query":"ODD1"`:     {ofList},
			`"refs":` + asRefs:   {ofAll, ofQuery},
			`"refs":[{"id":""}]`: {ofAll, ofRefs},
		} {
			for _, token := range tokens {
				search(t, s, `{`+body+`,"pageToken":"`+token+`"}`).refused(t, 400, "INVALID_ARGUMENT").wantField(t, "pageToken")
			}
		}
		if p := search(t, s, `{"query":"odd1","pageSize":50,"pageToken":"`+ofQuery+`"}`).page(t); len(p.List) != total/2-10 {
			t.Errorf("with another page size the rest has %d, want %d", len(p.List), total/2-10)
		}
	})
}

// TestSearch has the rules of Search. Each webhook is looked for at once after
// its creation.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	ids := map[string]string{}
	for _, w := range [][2]string{
		{"Grüße aus KÖLN", "carnival"}, {"plain", "ΣΊΣΥΦΟΣ rolls"}, {"Ещё Один", ""}, {"100% sure_thing", `back\slash`}, {"carnival", "Zürich"},
	} {
		created := createWebhook(t, s, fmt.Sprintf(`{"displayName":%q,"description":%q,"url":%q}`, w[0], w[1], nowhere))
		id := part[string](t, created, "id")
		if p := search(t, s, fmt.Sprintf(`{"query":%q}`, w[0])).page(t); !slices.Contains(p.ids(), id) {
			t.Errorf("%q is not found at once after its creation", w[0])
		}
		ids[w[0]] = id
	}
	for _, tt := range []struct {
		query string
		refs  []string // names; nil for none
		want  []string // names, newest first
	}{
		{"", nil, []string{"carnival", "100% sure_thing", "Ещё Один", "plain", "Grüße aus KÖLN"}},
		{"PLAIN", nil, []string{"plain"}},
		{"lai", nil, []string{"plain"}},
		{"grÜSSE", nil, nil},
		{"GRÜßE", nil, []string{"Grüße aus KÖLN"}},
		{"köln", nil, []string{"Grüße aus KÖLN"}},
		{"zÜRICH", nil, []string{"carnival"}},
		{"σίσυφος", nil, []string{"plain"}},
		{"ЕЩЁ", nil, []string{"Ещё Один"}},
		{"carnival", nil, []string{"carnival", "Grüße aus KÖLN"}},
		{"%", nil, []string{"100% sure_thing"}},
		{"_", nil, []string{"100% sure_thing"}},
		{`\`, nil, []string{"100% sure_thing"}},
		{"nothing such", nil, nil},
		{"", []string{"plain", "carnival"}, []string{"carnival", "plain"}},
		{"", []string{"plain", "plain"}, []string{"plain"}},
		{"CARNIVAL", []string{"plain", "carnival"}, []string{"carnival"}},
		{"rolls", []string{"carnival"}, nil},
		{"", []string{"of another shape"}, nil},
		{"", []string{"of another shape", "plain"}, []string{"plain"}},
	} {
		t.Run(fmt.Sprintf("%q among %q", tt.query, tt.refs), func(t *testing.T) {
			t.Parallel()
			refs := []object{}
			for _, name := range tt.refs {
				id, ok := ids[name]
				if !ok {
					id = name
				}
				refs = append(refs, object{"id": id})
			}
			body, err := json.Marshal(object{"query": tt.query, "refs": refs})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range search(t, s, string(body)).page(t).List {
				got = append(got, w.DisplayName)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}
