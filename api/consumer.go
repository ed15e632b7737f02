package api

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// consumersService is riposte.v1's ConsumersService.
type consumersService struct{ s *Server }

func (h consumersService) Create(ctx context.Context, r *ripostev1.ConsumersServiceCreateRequest) (*ripostev1.ConsumersServiceCreateResponse, error) {
	return call(ctx, h.s, "ConsumersService.Create", r, h.create)
}

func (h consumersService) Get(ctx context.Context, r *ripostev1.ConsumersServiceGetRequest) (*ripostev1.ConsumersServiceGetResponse, error) {
	return call(ctx, h.s, "ConsumersService.Get", r, h.get)
}

func (h consumersService) List(ctx context.Context, r *ripostev1.ConsumersServiceListRequest) (*ripostev1.ConsumersServiceListResponse, error) {
	return call(ctx, h.s, "ConsumersService.List", r, h.list)
}

func (h consumersService) Delete(ctx context.Context, r *ripostev1.ConsumersServiceDeleteRequest) (*ripostev1.ConsumersServiceDeleteResponse, error) {
	return call(ctx, h.s, "ConsumersService.Delete", r, h.delete)
}

func (h consumersService) Pull(ctx context.Context, r *ripostev1.ConsumersServicePullRequest) (*ripostev1.ConsumersServicePullResponse, error) {
	return call(ctx, h.s, "ConsumersService.Pull", r, h.pull)
}

func (h consumersService) Ack(ctx context.Context, r *ripostev1.ConsumersServiceAckRequest) (*ripostev1.ConsumersServiceAckResponse, error) {
	return call(ctx, h.s, "ConsumersService.Ack", r, h.ack)
}

func (h consumersService) create(ctx context.Context, caller riposte.Caller, r *ripostev1.ConsumersServiceCreateRequest) (*ripostev1.ConsumersServiceCreateResponse, error) {
	filter, err := outcomeFilter(caller, r.GetFilter())
	if err != nil {
		return nil, err
	}
	after, err := h.s.begin(ctx, r.GetAfter())
	if err != nil {
		return nil, err
	}
	c, err := riposte.NewConsumer(r.GetName(), filter, after, h.s.Store.Now())
	if err != nil {
		return nil, err
	}
	if c, err = h.s.feed.CreateConsumer(auditing(ctx, c.Name, filterText(c.Filter)), c); err != nil {
		return nil, err
	}
	m, err := h.messages(ctx, c)
	if err != nil {
		return nil, err
	}
	return &ripostev1.ConsumersServiceCreateResponse{Consumer: m[0]}, nil
}

func (h consumersService) get(ctx context.Context, caller riposte.Caller, r *ripostev1.ConsumersServiceGetRequest) (*ripostev1.ConsumersServiceGetResponse, error) {
	c, err := h.load(ctx, caller, r.GetName())
	if err != nil {
		return nil, err
	}
	m, err := h.messages(ctx, c)
	if err != nil {
		return nil, err
	}
	return &ripostev1.ConsumersServiceGetResponse{Consumer: m[0]}, nil
}

func (h consumersService) list(ctx context.Context, caller riposte.Caller, _ *ripostev1.ConsumersServiceListRequest) (*ripostev1.ConsumersServiceListResponse, error) {
	all, err := h.s.Store.ListConsumers(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c riposte.Consumer) bool { return !caller.Sees(c.Filter.CreatedBy) })
	m, err := h.messages(ctx, all...)
	return &ripostev1.ConsumersServiceListResponse{List: m}, err
}

func (h consumersService) delete(ctx context.Context, caller riposte.Caller, r *ripostev1.ConsumersServiceDeleteRequest) (*ripostev1.ConsumersServiceDeleteResponse, error) {
	if _, err := h.load(ctx, caller, r.GetName()); err != nil {
		return nil, err
	}
	return &ripostev1.ConsumersServiceDeleteResponse{}, h.s.Store.DeleteConsumer(auditing(ctx, r.GetName(), ""), r.GetName())
}

func (h consumersService) pull(ctx context.Context, caller riposte.Caller, r *ripostev1.ConsumersServicePullRequest) (*ripostev1.ConsumersServicePullResponse, error) {
	limit, lease, err := riposte.CheckPull(int(r.GetMaxOutcomes()), r.GetLease().AsDuration())
	if err != nil {
		return nil, err
	}
	wait := min(r.GetWait().AsDuration(), maxWait)
	if wait < 0 {
		return nil, riposte.Invalid(riposte.Violation{Field: "wait", Description: "must not be negative; 60s is the longest"})
	}
	ctx, free := h.s.untilExpiry(ctx, caller)
	defer free()
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(h.s.stopping, cancel)()
	p, err := h.s.feed.Pull(ctx, waiting, r.GetName(), caller.Only(), limit, lease)
	if err == nil && wait > 0 {
		err = h.s.stillCalls(ctx, caller) // what was leased is given again
	}
	if err != nil {
		return nil, expiredOr(ctx, err)
	}
	res := &ripostev1.ConsumersServicePullResponse{LeaseId: p.Lease.ID, LeasedUntil: timestamp(p.Lease.Until), Tries: int32(p.Lease.Tries)}
	for _, i := range p.Instances {
		res.Instances = append(res.Instances, decidedInstanceMessage(i))
	}
	return res, nil
}

func (h consumersService) ack(ctx context.Context, caller riposte.Caller, r *ripostev1.ConsumersServiceAckRequest) (*ripostev1.ConsumersServiceAckResponse, error) {
	return &ripostev1.ConsumersServiceAckResponse{}, h.s.feed.Ack(ctx, r.GetName(), caller.Only(), r.GetLeaseId(), r.GetThrough())
}

// load returns a consumer that caller may know of.
func (h consumersService) load(ctx context.Context, caller riposte.Caller, name string) (riposte.Consumer, error) {
	c, err := h.s.Store.LoadConsumer(ctx, name)
	if err == nil && !caller.Sees(c.Filter.CreatedBy) {
		err = riposte.ErrConsumerNotFound
	}
	return c, err
}

// messages tells of consumers, and how far behind they are.
func (h consumersService) messages(ctx context.Context, all ...riposte.Consumer) ([]*ripostev1.Consumer, error) {
	last, err := h.s.Store.LastOutcome(ctx)
	if err != nil {
		return nil, err
	}
	m := make([]*ripostev1.Consumer, len(all))
	for n, c := range all {
		m[n] = &ripostev1.Consumer{
			Name:      c.Name,
			Filter:    filterText(c.Filter),
			CreatedAt: timestamp(c.CreatedAt),
			Acked:     cursor(c.Acked()),
			Position:  cursor(c.Position),
			Lag:       c.Lag(last),
			Leases:    int32(len(c.Leases)),
		}
	}
	return m, nil
}

// filterText is what parseFilter reads as f.
func filterText(f riposte.OutcomeFilter) string {
	var parts []string
	add := func(field, value string) {
		if value != "" {
			parts = append(parts, field+" = "+quote(value))
		}
	}
	add("webhookId", f.WebhookID)
	add("source", string(f.SourceKind))
	add("ticketId", f.TicketID)
	add("createdBy", f.CreatedBy)
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		parts = append(parts, "labels."+quoteKey(key)+" = "+quote(f.Labels[key]))
	}
	return strings.Join(parts, " AND ")
}

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quote(value string) string { return `"` + quoted.Replace(value) + `"` }

// quoteKey quotes a label's key, which may have one kind of quotes in it.
func quoteKey(key string) string {
	key = strings.ReplaceAll(key, `\`, `\\`)
	if strings.Contains(key, `"`) {
		return "'" + key + "'"
	}
	return `"` + key + `"`
}
