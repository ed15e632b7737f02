package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
)

const maxRefs = 1000

// webhooksService is C1's WebhooksService.
type webhooksService struct{ s *Server }

// searchService is C1's WebhooksSearch.
type searchService struct{ s *Server }

func (h webhooksService) Create(ctx context.Context, r *webhooksv1.WebhooksServiceCreateRequest) (*webhooksv1.WebhooksServiceCreateResponse, error) {
	return call(ctx, h.s, "WebhooksService.Create", r, h.create)
}

func (h webhooksService) Get(ctx context.Context, r *webhooksv1.WebhooksServiceGetRequest) (*webhooksv1.WebhooksServiceGetResponse, error) {
	return call(ctx, h.s, "WebhooksService.Get", r, h.get)
}

func (h webhooksService) List(ctx context.Context, r *webhooksv1.WebhooksServiceListRequest) (*webhooksv1.WebhooksServiceListResponse, error) {
	return call(ctx, h.s, "WebhooksService.List", r, h.list)
}

func (h webhooksService) Update(ctx context.Context, r *webhooksv1.WebhooksServiceUpdateRequest) (*webhooksv1.WebhooksServiceUpdateResponse, error) {
	return call(ctx, h.s, "WebhooksService.Update", r, h.update)
}

func (h webhooksService) Delete(ctx context.Context, r *webhooksv1.WebhooksServiceDeleteRequest) (*webhooksv1.WebhooksServiceDeleteResponse, error) {
	return call(ctx, h.s, "WebhooksService.Delete", r, h.delete)
}

func (h webhooksService) Test(ctx context.Context, r *webhooksv1.WebhooksServiceTestRequest) (*webhooksv1.WebhooksServiceTestResponse, error) {
	return call(ctx, h.s, "WebhooksService.Test", r, h.test)
}

func (h searchService) Search(ctx context.Context, r *webhooksv1.WebhooksSearchRequest) (*webhooksv1.WebhooksSearchResponse, error) {
	return call(ctx, h.s, "WebhooksSearch.Search", r, h.search)
}

func (h webhooksService) create(ctx context.Context, _ riposte.Caller, r *webhooksv1.WebhooksServiceCreateRequest) (*webhooksv1.WebhooksServiceCreateResponse, error) {
	timeout, err := callbackTimeout(r.GetCallbackTimeout())
	if err != nil {
		return nil, err
	}
	w, err := riposte.NewWebhook(r.GetDisplayName(), r.GetDescription(), r.GetUrl(), timeout, h.s.Check, h.s.Store.Now())
	if err != nil {
		return nil, err
	}
	ctx = auditing(ctx, w.ID, fmt.Sprintf("named %q", w.DisplayName))
	if w, err = h.s.Store.SaveWebhook(ctx, w); err != nil {
		return nil, err
	}
	return &webhooksv1.WebhooksServiceCreateResponse{Webhook: webhookMessage(w)}, nil
}

func (h webhooksService) get(ctx context.Context, _ riposte.Caller, r *webhooksv1.WebhooksServiceGetRequest) (*webhooksv1.WebhooksServiceGetResponse, error) {
	w, err := h.s.liveWebhook(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &webhooksv1.WebhooksServiceGetResponse{Webhook: webhookMessage(w)}, nil
}

func (h webhooksService) list(ctx context.Context, _ riposte.Caller, r *webhooksv1.WebhooksServiceListRequest) (*webhooksv1.WebhooksServiceListResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken(), maxPageSize, "webhooks")
	if err != nil {
		return nil, err
	}
	list, next, err := h.s.listWebhooks(ctx, p, riposte.WebhookFilter{})
	if err != nil {
		return nil, err
	}
	return &webhooksv1.WebhooksServiceListResponse{List: list, NextPageToken: next}, nil
}

func (h searchService) search(ctx context.Context, _ riposte.Caller, r *webhooksv1.WebhooksSearchRequest) (*webhooksv1.WebhooksSearchResponse, error) {
	if len(r.GetRefs()) > maxRefs {
		return nil, riposte.Invalid(riposte.Violation{Field: "refs", Description: "must be at most 1000"})
	}
	var ids []string
	for _, ref := range r.GetRefs() {
		ids = append(ids, ref.GetId())
	}
	p, err := newPage(r.GetPageSize(), r.GetPageToken(), maxPageSize, append([]string{"search", r.GetQuery()}, ids...)...)
	if err != nil {
		return nil, err
	}
	list, next, err := h.s.listWebhooks(ctx, p, riposte.WebhookFilter{Query: r.GetQuery(), IDs: ids})
	if err != nil {
		return nil, err
	}
	return &webhooksv1.WebhooksSearchResponse{List: list, NextPageToken: next}, nil
}

func (s *Server) listWebhooks(ctx context.Context, p page, f riposte.WebhookFilter) ([]*webhooksv1.Webhook, string, error) {
	f.Before, f.Limit = p.before, p.limit()
	rows, err := s.Store.ListWebhooks(ctx, f)
	if err != nil {
		return nil, "", err
	}
	rows, next := cut(p, rows, func(w riposte.Webhook) string { return w.ID })
	list := make([]*webhooksv1.Webhook, len(rows))
	for i, w := range rows {
		list[i] = webhookMessage(w)
	}
	return list, next, nil
}

func (h webhooksService) update(ctx context.Context, _ riposte.Caller, r *webhooksv1.WebhooksServiceUpdateRequest) (*webhooksv1.WebhooksServiceUpdateResponse, error) {
	paths, err := maskPaths(r.GetUpdateMask(), "display_name", "description", "url", "callback_timeout")
	if err != nil {
		return nil, err
	}
	w, err := h.s.changeWebhook(ctx, r.GetWebhook().GetId(), func(w *riposte.Webhook) error {
		if err := changeFields(w, r.GetWebhook(), paths); err != nil {
			return below("webhook", err)
		}
		return below("webhook", w.Validate(h.s.Check))
	})
	if err != nil {
		return nil, err
	}
	return &webhooksv1.WebhooksServiceUpdateResponse{Webhook: webhookMessage(w)}, nil
}

// changeFields clears a field that the mask names and the change doesn't have;
// a timeout falls back to its default.
func changeFields(w *riposte.Webhook, change *webhooksv1.Webhook, paths mask) error {
	if paths.includes("display_name", change != nil && change.DisplayName != nil) {
		w.DisplayName = change.GetDisplayName()
	}
	if paths.includes("description", change != nil && change.Description != nil) {
		w.Description = change.GetDescription()
	}
	if paths.includes("url", change != nil && change.Url != nil) {
		w.URL = change.GetUrl()
	}
	if !paths.includes("callback_timeout", change.GetCallbackTimeout() != nil) {
		return nil
	}
	timeout, err := callbackTimeout(change.GetCallbackTimeout())
	w.CallbackTimeout = cmp.Or(timeout, riposte.DefaultCallbackTimeout)
	return err
}

func (h webhooksService) delete(ctx context.Context, _ riposte.Caller, r *webhooksv1.WebhooksServiceDeleteRequest) (*webhooksv1.WebhooksServiceDeleteResponse, error) {
	_, err := h.s.changeWebhook(ctx, r.GetId(), func(w *riposte.Webhook) error {
		w.Delete(h.s.Store.Now())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &webhooksv1.WebhooksServiceDeleteResponse{}, nil
}

func (h webhooksService) test(ctx context.Context, caller riposte.Caller, r *webhooksv1.WebhooksServiceTestRequest) (*webhooksv1.WebhooksServiceTestResponse, error) {
	created, err := h.s.createInstance(auditing(ctx, "", "of webhook "+r.GetId()), caller, newInstance{
		webhookID: r.GetId(),
		request:   riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}},
	})
	if err != nil {
		return nil, err
	}
	return &webhooksv1.WebhooksServiceTestResponse{Webhook: webhookInstanceMessage(created)}, nil
}

// liveWebhook loads a webhook that is not deleted.
func (s *Server) liveWebhook(ctx context.Context, id string) (riposte.Webhook, error) {
	w, err := s.webhook(ctx, id)
	if err == nil && w.Deleted() {
		err = riposte.ErrWebhookNotFound
	}
	return w, err
}

// webhook takes an id of any shape, and finds deleted ones too.
func (s *Server) webhook(ctx context.Context, id string) (riposte.Webhook, error) {
	if !riposte.IsID(id) {
		return riposte.Webhook{}, riposte.ErrWebhookNotFound
	}
	return s.Store.LoadWebhook(ctx, id)
}

// changeWebhook loads, changes and saves, again where somebody else was faster.
func (s *Server) changeWebhook(ctx context.Context, id string, change func(*riposte.Webhook) error) (riposte.Webhook, error) {
	for {
		w, err := s.liveWebhook(ctx, id)
		if err != nil {
			return w, err
		}
		before := w
		w.UpdatedAt = riposte.Time(s.Store.Now())
		if err := change(&w); err != nil {
			return w, err
		}
		if w, err = s.Store.SaveWebhook(auditing(ctx, w.ID, changedFields(before, w)), w); !errors.Is(err, riposte.ErrConflict) {
			return w, err
		}
	}
}

// mask is the set of fields that an update may touch; nil for all that are
// present.
type mask map[string]bool

// maskPaths reads a field mask, whose paths are in proto's own snake_case by
// now (apijson took either).
func maskPaths(m *fieldmaskpb.FieldMask, mutable ...string) (mask, error) {
	if len(m.GetPaths()) == 0 {
		return nil, nil
	}
	paths := mask{}
	for _, p := range m.GetPaths() {
		if !slices.Contains(mutable, p) {
			return nil, riposte.Invalid(riposte.Violation{Field: "updateMask",
				Description: fmt.Sprintf("must name fields that can be changed (%s), not %q", strings.Join(mutable, ", "), p)})
		}
		paths[p] = true
	}
	return paths, nil
}

func (m mask) includes(path string, present bool) bool {
	if m == nil {
		return present
	}
	return m[path]
}

// callbackTimeout returns 0 for an absent duration; a given 0 is an error, not
// the default.
func callbackTimeout(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	timeout := d.AsDuration().Truncate(time.Microsecond)
	if timeout == 0 || d.CheckValid() != nil {
		return 0, riposte.Invalid(riposte.Violation{Field: "callbackTimeout", Description: "must be from 86400s to 2592000s (1 to 30 days)"})
	}
	return timeout, nil
}

func webhookMessage(w riposte.Webhook) *webhooksv1.Webhook {
	return &webhooksv1.Webhook{
		Id:              w.ID,
		DisplayName:     &w.DisplayName,
		Description:     &w.Description,
		Url:             &w.URL,
		CallbackTimeout: durationpb.New(w.CallbackTimeout),
		CreatedAt:       timestamp(w.CreatedAt),
		UpdatedAt:       timestamp(w.UpdatedAt),
		DeletedAt:       timestamp(w.DeletedAt),
	}
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
