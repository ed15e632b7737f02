package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

type server struct {
	client *river.Client[pgx.Tx]
	closed atomic.Int64 // jobs whose completion is recorded
}

// routes has one status for all errors: the load generator stops at any.
func (s *server) routes() http.Handler {
	m := http.NewServeMux()
	for pattern, answer := range map[string]func(*http.Request) (string, error){
		"POST /api/v1/webhooks":                s.createWebhook,
		"POST /api/v1/webhooks/{id}/instances": s.createInstance,
		"POST /seed":                           s.seed,
		"POST /start":                          s.start,
		"GET /metrics":                         s.metrics,
	} {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			text, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			io.WriteString(w, text)
		})
	}
	return m
}

func (s *server) createWebhook(r *http.Request) (string, error) {
	var body struct {
		URL string `json:"url"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return "", err
	}
	return fmt.Sprintf(`{"webhook":{"id":"%s"}}`, webhookID(body.URL)), nil
}

func (s *server) createInstance(r *http.Request) (string, error) {
	var job delivery
	if err := json.NewDecoder(r.Body).Decode(&job); err != nil {
		return "", err
	}
	job.WebhookID = r.PathValue("id")
	inserted, err := s.client.Insert(r.Context(), job, nil)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`{"instance":{"webhookInstance":{"id":"%d"}}}`, inserted.Job.ID), nil
}

// seed makes a backlog of jobs that are due.
func (s *server) seed(r *http.Request) (string, error) {
	left, err := strconv.Atoi(r.URL.Query().Get("count"))
	if err != nil {
		return "", err
	}
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	batch := make([]river.InsertManyParams, min(left, insertBatch))
	for i := range batch {
		batch[i].Args = delivery{WebhookID: r.URL.Query().Get("webhookId"), Payload: payload}
	}
	for ; left > 0; left -= len(batch) {
		batch = batch[:min(left, len(batch))]
		if _, err := s.client.InsertManyFast(r.Context(), batch); err != nil {
			return "", err
		}
	}
	return "", nil
}

// start's client gets a context that nothing ends: Stop lets jobs finish.
func (s *server) start(*http.Request) (string, error) {
	return "", s.client.Start(context.Background())
}

func (s *server) metrics(*http.Request) (string, error) {
	return fmt.Sprintf("bench_closed_total %d\n", s.closed.Load()), nil
}
