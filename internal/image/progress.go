// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

var errStalled = errors.New("no data from the registry")

// progress cancels a pull that waits for the registry in vain. Only the time counts in
// which a request or a read waits and no byte arrives at all: a slow disk is not a stalled pull.
type progress struct {
	patience time.Duration
	cancel   context.CancelCauseFunc

	mu      sync.Mutex
	waiting int       // requests and reads
	last    time.Time // of a byte, or when the first began to wait
	timer   *time.Timer
	clients []*http.Client
}

// newProgress cancels with a cause when nothing arrived for patience; 0 is for ever. The
// caller stops it, which also closes the connections that are kept for a next request: the next pull has
// its own.
func newProgress(patience time.Duration, cancel context.CancelCauseFunc) *progress {
	p := &progress{patience: patience, cancel: cancel, last: time.Now()}
	if patience > 0 {
		p.timer = time.AfterFunc(patience, p.check)
	}
	return p
}

func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.patience = 0
	}
	for _, c := range p.clients {
		c.CloseIdleConnections()
	}
	p.clients = nil
}

// check runs when the timer does, and sets it again.
func (p *progress) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.patience == 0 {
		return
	}
	left := p.patience
	if p.waiting > 0 {
		left -= time.Since(p.last)
	}
	if left > 0 {
		p.timer.Reset(left)
		return
	}
	p.cancel(fmt.Errorf("%w: %w for %s (image_pull_progress_timeout): %w",
		ErrRegistryUnavailable, errStalled, p.patience, context.DeadlineExceeded))
}

func (p *progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == 0 {
		p.last = time.Now()
	}
	p.waiting++
}

func (p *progress) end(progressed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	if progressed {
		p.last = time.Now()
	}
}

// instrument makes the client tell of its requests.
func (p *progress) instrument(client *http.Client) error {
	client.Transport = observed{client.Transport, p}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients = append(p.clients, client)
	return nil
}

type observed struct {
	http.RoundTripper
	progress *progress
}

// CloseIdleConnections is what http.Client looks for.
func (o observed) CloseIdleConnections() {
	if t, ok := o.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func (o observed) RoundTrip(r *http.Request) (*http.Response, error) {
	o.progress.begin()
	resp, err := o.RoundTripper.RoundTrip(r)
	if err != nil {
		o.progress.end(false)
		return nil, err
	}
	o.progress.end(true)
	resp.Body = &observedBody{resp.Body, o.progress}
	return resp, nil
}

type observedBody struct {
	io.ReadCloser
	progress *progress
}

func (b *observedBody) Read(buf []byte) (int, error) {
	b.progress.begin()
	n, err := b.ReadCloser.Read(buf)
	b.progress.end(n > 0)
	return n, err
}
