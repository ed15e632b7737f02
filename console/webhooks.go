package console

import (
	"net/http"
	"net/url"
	"strings"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// webhooksData is what the page of this name shows.
type webhooksData struct {
	Filter  webhookFilter
	Problem string
	Rows    []*ripostev1.WebhookOverview
	First   string // the first page's URL, on another one
	Next    string // the next page's URL; "" on the last one
	Others  string // the URL of those that Filter.Deleted leaves out
	Server  string // the server's URL, for commands
}

// webhookFilter is what a list of webhooks is narrowed by, as it stands in the URL.
type webhookFilter struct {
	Query   string
	Deleted bool // those that were deleted, in place of those that are there
}

func readWebhookFilter(q url.Values) webhookFilter {
	return webhookFilter{Query: strings.TrimSpace(q.Get("query")), Deleted: q.Get("deleted") != ""}
}

// URL is a page of the list; of the first one for no token.
func (f webhookFilter) URL(token string) string {
	q := url.Values{}
	if f.Query != "" {
		q.Set("query", f.Query)
	}
	if f.Deleted {
		q.Set("deleted", "1")
	}
	if token != "" {
		q.Set("page", token)
	}
	return (&url.URL{Path: "/webhooks", RawQuery: q.Encode()}).String()
}

// Clear is the filter without its query.
func (f webhookFilter) Clear() webhookFilter { return webhookFilter{Deleted: f.Deleted} }

func (v *visit) webhooks() error {
	q := v.r.URL.Query()
	f := readWebhookFilter(q)
	d := webhooksData{Filter: f, Others: webhookFilter{f.Query, !f.Deleted}.URL(""), Server: v.PublicURL}
	if q.Get("page") != "" {
		d.First = f.URL("")
	}
	p := page{Title: "Webhooks", Nav: "/webhooks"}
	list, err := v.api.statistics.ListWebhooks(v.call(), &ripostev1.StatisticsServiceListWebhooksRequest{
		Query: f.Query, Deleted: f.Deleted, PageToken: q.Get("page")})
	if bad := violations(err); bad != nil {
		d.Problem = problem(err)
		if bad["pageToken"] != "" {
			d.Problem = "This is no page of this list. Go back to the first page."
		}
		p.Data = d
		return v.show(http.StatusUnprocessableEntity, "webhooks", p)
	}
	if err != nil {
		return err
	}
	d.Rows = list.GetList()
	if token := list.GetNextPageToken(); token != "" {
		d.Next = f.URL(token)
	}
	p.Live, p.Data = listLive, d
	return v.show(http.StatusOK, "webhooks", p)
}
