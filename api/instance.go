package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// instancesService is riposte.v1's InstancesService.
type instancesService struct{ s *Server }

func (h instancesService) Create(ctx context.Context, r *ripostev1.InstancesServiceCreateRequest) (*ripostev1.InstancesServiceCreateResponse, error) {
	return call(ctx, h.s, "InstancesService.Create", r, h.create)
}

func (h instancesService) BatchCreate(ctx context.Context, r *ripostev1.InstancesServiceBatchCreateRequest) (*ripostev1.InstancesServiceBatchCreateResponse, error) {
	return call(ctx, h.s, "InstancesService.BatchCreate", r, h.batchCreate)
}

func (h instancesService) Get(ctx context.Context, r *ripostev1.InstancesServiceGetRequest) (*ripostev1.InstancesServiceGetResponse, error) {
	return call(ctx, h.s, "InstancesService.Get", r, h.get)
}

func (h instancesService) List(ctx context.Context, r *ripostev1.InstancesServiceListRequest) (*ripostev1.InstancesServiceListResponse, error) {
	return call(ctx, h.s, "InstancesService.List", r, h.list)
}

func (h instancesService) Count(ctx context.Context, r *ripostev1.InstancesServiceCountRequest) (*ripostev1.InstancesServiceCountResponse, error) {
	return call(ctx, h.s, "InstancesService.Count", r, h.count)
}

func (h instancesService) Wait(ctx context.Context, r *ripostev1.InstancesServiceWaitRequest) (*ripostev1.InstancesServiceWaitResponse, error) {
	return call(ctx, h.s, "InstancesService.Wait", r, h.wait)
}

func (h instancesService) Cancel(ctx context.Context, r *ripostev1.InstancesServiceCancelRequest) (*ripostev1.InstancesServiceCancelResponse, error) {
	return call(ctx, h.s, "InstancesService.Cancel", r, h.cancel)
}

func (h instancesService) RetryNow(ctx context.Context, r *ripostev1.InstancesServiceRetryNowRequest) (*ripostev1.InstancesServiceRetryNowResponse, error) {
	return call(ctx, h.s, "InstancesService.RetryNow", r, h.retryNow)
}

func (h instancesService) Recreate(ctx context.Context, r *ripostev1.InstancesServiceRecreateRequest) (*ripostev1.InstancesServiceRecreateResponse, error) {
	return call(ctx, h.s, "InstancesService.Recreate", r, h.recreate)
}

func (h instancesService) Answer(ctx context.Context, r *ripostev1.InstancesServiceAnswerRequest) (*ripostev1.InstancesServiceAnswerResponse, error) {
	return call(ctx, h.s, "InstancesService.Answer", r, h.answer)
}

// newInstance is one instance to be created on a webhook.
type newInstance struct {
	webhookID string
	request   riposte.InstanceRequest
	err       error // why request could not be read
}

func readNewInstance(r *ripostev1.InstancesServiceCreateRequest) newInstance {
	timeout, err := callbackTimeout(r.GetCallbackTimeout())
	return newInstance{
		webhookID: r.GetWebhookId(),
		err:       err,
		request: riposte.InstanceRequest{
			Source:          readSource(r.GetSource()),
			Payload:         r.GetPayload(),
			RequestID:       r.GetRequestId(),
			CallbackTimeout: timeout,
			Labels:          r.GetLabels(),
			OutcomeURL:      r.GetOutcomeUrl(),
		},
	}
}

func (h instancesService) create(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceCreateRequest) (*ripostev1.InstancesServiceCreateResponse, error) {
	created, err := h.s.createInstance(ctx, caller, readNewInstance(r))
	if err != nil {
		return nil, err
	}
	return &ripostev1.InstancesServiceCreateResponse{Instance: instanceMessage(created)}, nil
}

func (h instancesService) batchCreate(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceBatchCreateRequest) (*ripostev1.InstancesServiceBatchCreateResponse, error) {
	if n := len(r.GetRequests()); n < 1 || n > riposte.MaxBatch {
		return nil, riposte.Invalid(riposte.Violation{Field: "requests", Description: fmt.Sprintf("must be 1 to %d, are %d", riposte.MaxBatch, n)})
	}
	batch := make([]newInstance, len(r.GetRequests()))
	for i, each := range r.GetRequests() {
		batch[i] = readNewInstance(each)
	}
	created, err := h.s.createInstances(ctx, caller, batch)
	if err != nil {
		return nil, inBatch(err)
	}
	res := &ripostev1.InstancesServiceBatchCreateResponse{}
	for _, i := range created {
		res.Instances = append(res.Instances, instanceMessage(i))
	}
	return res, nil
}

// inBatch says which request an error is about.
func inBatch(err error) error {
	e, ok := errors.AsType[*riposte.Error](err)
	if !ok || e.Metadata["index"] == "" {
		return err
	}
	request := "requests[" + e.Metadata["index"] + "]"
	if len(e.Violations) > 0 {
		return below(request, err)
	}
	in := *e
	in.Message = request + ": " + e.Message
	return &in
}

// createInstance makes and stores one. Its error carries no index.
func (s *Server) createInstance(ctx context.Context, caller riposte.Caller, n newInstance) (riposte.Instance, error) {
	created, err := s.createInstances(ctx, caller, []newInstance{n})
	if e, ok := errors.AsType[*riposte.Error](err); ok {
		alone := *e
		alone.Metadata = nil
		return riposte.Instance{}, &alone
	}
	if err != nil {
		return riposte.Instance{}, err
	}
	return created[0], nil
}

// createInstances makes and stores all or none, as the caller's. An error about one of
// them carries its index.
func (s *Server) createInstances(ctx context.Context, caller riposte.Caller, batch []newInstance) ([]riposte.Instance, error) {
	webhooks := map[string]riposte.Webhook{}
	records := make([]riposte.NewInstanceRecord, len(batch))
	for n, each := range batch {
		each.request.CreatedBy = caller.Owner()
		if err := s.newRecord(ctx, each, webhooks, &records[n]); err != nil {
			if e, ok := errors.AsType[*riposte.Error](err); ok {
				return nil, e.With("index", strconv.Itoa(n))
			}
			return nil, err
		}
	}
	return s.Store.CreateInstances(ctx, records)
}

func (s *Server) newRecord(ctx context.Context, n newInstance, webhooks map[string]riposte.Webhook, out *riposte.NewInstanceRecord) error {
	if n.err != nil {
		return n.err
	}
	w, known := webhooks[n.webhookID]
	if !known {
		var err error
		if w, err = s.webhook(ctx, n.webhookID); err != nil {
			return err
		}
		w.Settings.OutcomeURL = cmp.Or(w.Settings.OutcomeURL, s.OutcomeURL)
		webhooks[n.webhookID] = w
	}
	// A request that is repeated finds its instance also when the webhook was
	// deleted since: the store knows.
	if w.Deleted() && n.request.RequestID == "" {
		return riposte.ErrWebhookNotFound
	}
	if err := riposte.CheckOutcomeURL(n.request.OutcomeURL, s.Check); err != nil {
		return err
	}
	i, envelope, err := riposte.NewInstance(w, n.request, s.callbackURL, s.Store.Now())
	*out = riposte.NewInstanceRecord{Instance: i, Envelope: envelope}
	return err
}

func (s *Server) callbackURL(instanceID string) string {
	return s.PublicURL + "/api/v1/webhooks/callback/" + s.Tokens.Seal(instanceID)
}

func (h instancesService) get(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceGetRequest) (*ripostev1.InstancesServiceGetResponse, error) {
	i, err := h.s.loadInstance(ctx, caller, r.GetId())
	if err != nil {
		return nil, err
	}
	if r.GetView() != ripostev1.InstanceView_INSTANCE_VIEW_FULL {
		return &ripostev1.InstancesServiceGetResponse{Instance: instanceMessage(i)}, nil
	}
	envelope, err := h.s.Store.LoadEnvelope(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	attempts, err := h.s.Store.LoadAttempts(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	return &ripostev1.InstancesServiceGetResponse{Instance: fullInstanceMessage(i, envelope, attempts)}, nil
}

func (h instancesService) list(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceListRequest) (*ripostev1.InstancesServiceListResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken(), maxInstancesPageSize, "instances", r.GetFilter())
	if err != nil {
		return nil, err
	}
	f, err := instanceFilter(caller, r.GetFilter())
	if err != nil {
		return nil, err
	}
	rows, before, err := h.s.listInstances(ctx, f, p.before, p.size)
	if err != nil {
		return nil, err
	}
	res := &ripostev1.InstancesServiceListResponse{NextPageToken: p.next(before)}
	for _, i := range rows {
		res.List = append(res.List, instanceMessage(i))
	}
	return res, nil
}

// listInstances returns the size instances at most that come before the id before, and
// the id before which to go on; "" at the end of the list.
func (s *Server) listInstances(ctx context.Context, f riposte.InstanceFilter, before string, size int) ([]riposte.Instance, string, error) {
	f.Before, f.Limit = before, size+1 // one more, to know whether it is the last
	found, err := s.Store.ListInstances(ctx, f)
	if err != nil || len(found.Instances) <= size {
		return found.Instances, found.Searched, err
	}
	rows := found.Instances[:size]
	return rows, rows[size-1].ID, nil
}

// maxCount is how far Count counts: what is more looks the same to people, and costs
// more than they would wait for.
const maxCount = 10_000

func (h instancesService) count(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceCountRequest) (*ripostev1.InstancesServiceCountResponse, error) {
	f, err := instanceFilter(caller, r.GetFilter())
	if err != nil {
		return nil, err
	}
	n, more, err := h.s.Store.CountMatching(ctx, f, maxCount)
	if err != nil {
		return nil, err
	}
	return &ripostev1.InstancesServiceCountResponse{Count: int32(n), More: more}, nil
}

func (h instancesService) cancel(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceCancelRequest) (*ripostev1.InstancesServiceCancelResponse, error) {
	i, err := h.s.cancelInstance(ctx, caller, r.GetId())
	if err != nil {
		return nil, err
	}
	return &ripostev1.InstancesServiceCancelResponse{Instance: decidedInstanceMessage(i)}, nil
}

func (s *Server) cancelInstance(ctx context.Context, caller riposte.Caller, id string) (riposte.Instance, error) {
	return s.changeInstance(ctx, caller, id, riposte.Canceled{Message: "canceled with the API key " + caller.KeyID})
}

func (h instancesService) retryNow(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceRetryNowRequest) (*ripostev1.InstancesServiceRetryNowResponse, error) {
	if err := riposte.CheckOutcomeURL(r.GetOutcomeUrl(), h.s.Check); err != nil {
		return nil, err
	}
	if r.GetOutcomeUrl() != "" {
		ctx = auditing(ctx, "", "outcomeUrl")
	}
	i, err := h.s.changeInstance(ctx, caller, r.GetId(), riposte.RetryRequested{OutcomeURL: r.GetOutcomeUrl()})
	if err != nil {
		return nil, err
	}
	return &ripostev1.InstancesServiceRetryNowResponse{Instance: instanceMessage(i)}, nil
}

func (h instancesService) recreate(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceRecreateRequest) (*ripostev1.InstancesServiceRecreateResponse, error) {
	old, err := h.s.loadInstance(ctx, caller, r.GetId())
	if err != nil {
		return nil, err
	}
	created, err := h.s.recreateInstance(ctx, caller, old, "", r.GetOutcomeUrl())
	if err != nil {
		return nil, err
	}
	return &ripostev1.InstancesServiceRecreateResponse{Instance: instanceMessage(created)}, nil
}

// recreateInstance asks old's question again, now as the caller's, with the outcome
// going where old's goes unless there is an outcomeURL.
func (s *Server) recreateInstance(ctx context.Context, caller riposte.Caller, old riposte.Instance, requestID, outcomeURL string) (riposte.Instance, error) {
	envelope, err := s.Store.LoadEnvelope(ctx, old.ID)
	if err != nil {
		return riposte.Instance{}, err
	}
	return s.createInstance(auditing(ctx, "", "of instance "+old.ID), caller, newInstance{webhookID: old.WebhookID, request: riposte.InstanceRequest{
		Source:        old.Source,
		Payload:       envelope.Payload(),
		RequestID:     requestID,
		Labels:        old.Labels,
		RecreatedFrom: old.ID,
		OutcomeURL:    cmp.Or(outcomeURL, old.OutcomeURL),
	}})
}

func (h instancesService) answer(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceAnswerRequest) (*ripostev1.InstancesServiceAnswerResponse, error) {
	if _, err := h.s.loadInstance(ctx, caller, r.GetId()); err != nil {
		return nil, err
	}
	i, err := h.s.giveAnswer(ctx, r.GetId(), riposte.ViaOperator, r.GetDocument())
	if err != nil {
		return nil, err
	}
	return &ripostev1.InstancesServiceAnswerResponse{Instance: decidedInstanceMessage(i)}, nil
}

// loadInstance takes an id of any shape. What the caller may not see is not found.
func (s *Server) loadInstance(ctx context.Context, caller riposte.Caller, id string) (riposte.Instance, error) {
	if !riposte.IsID(id) {
		return riposte.Instance{}, riposte.ErrInstanceNotFound
	}
	i, err := s.Store.LoadInstance(ctx, id)
	if err == nil && !caller.Sees(i.CreatedBy) {
		return riposte.Instance{}, riposte.ErrInstanceNotFound
	}
	return i, err
}

// changeInstance loads, applies and saves, again where somebody else was faster.
func (s *Server) changeInstance(ctx context.Context, caller riposte.Caller, id string, e riposte.Event) (riposte.Instance, error) {
	ctx = auditing(ctx, id, "")
	for {
		i, err := s.loadInstance(ctx, caller, id)
		if err != nil {
			return i, err
		}
		next, err := i.Advance(e, s.Store.Now())
		if err != nil {
			return i, err
		}
		if next, err = s.Store.SaveInstance(ctx, next, i.InFlight(next)); !errors.Is(err, riposte.ErrConflict) {
			return next, err
		}
	}
}

const (
	defaultWait = 30 * time.Second
	maxWait     = 60 * time.Second
)

func (h instancesService) wait(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceWaitRequest) (*ripostev1.InstancesServiceWaitResponse, error) {
	timeout := defaultWait
	if r.GetTimeout() != nil {
		timeout = min(r.GetTimeout().AsDuration(), maxWait)
	}
	if timeout < 0 {
		return nil, riposte.Invalid(riposte.Violation{Field: "timeout", Description: "must not be negative; 60s is the longest"})
	}
	ctx, cancel := h.s.untilExpiry(ctx, caller)
	defer cancel()
	i, err := h.s.waitInstance(ctx, caller.Only(), r.GetId(), timeout)
	if err == nil && timeout > 0 {
		err = h.s.stillCalls(ctx, caller)
	}
	if err != nil {
		return nil, expiredOr(ctx, err)
	}
	return waited(i), nil
}

// waited is apart, so that nobody has room for its arguments on the stack while
// waiting: those are most of what a wait costs.
//
//go:noinline
func waited(i *riposte.Instance) *ripostev1.InstancesServiceWaitResponse {
	return &ripostev1.InstancesServiceWaitResponse{Instance: decidedInstanceMessage(*i)}
}

// waitInstance waits until the instance has its outcome, for timeout at most. Where
// only isn't empty, those of others are not found. What it returns may be shared.
func (s *Server) waitInstance(ctx context.Context, only, id string, timeout time.Duration) (*riposte.Instance, error) {
	if timeout == 0 {
		return s.waiters.loadOf(ctx, only, id)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		i, again, err := s.waitOnce(ctx, only, id, timer.C)
		if err != nil || !again {
			return i, err
		}
	}
}

// waitOnce registers before it reads, so that no outcome falls between. Being
// woken means no more than that it was worth a look.
func (s *Server) waitOnce(ctx context.Context, only, id string, timeout <-chan time.Time) (i *riposte.Instance, again bool, err error) {
	all, leave := s.waiters.add(id)
	defer leave()
	i, err = s.waiters.loadOf(ctx, only, id)
	if err != nil || i.Outcome != nil {
		return i, false, err
	}
	select {
	case <-all.woken:
		i, err = all.look()
		return i, err == nil && i.Outcome == nil, err
	case <-timeout:
	case <-s.stopping.Done():
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	i, err = s.waiters.load(ctx, id)
	return i, false, err
}
