// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// The kubelet's own HTTP probe has these too.
const (
	maxRedirects = 10
	maxBody      = 10 << 10
	userAgent    = "kube-probe/sardine"
)

const (
	maxHeaders     = 32       // of a request
	maxHeaderBytes = 64 << 10 // of a response
)

// web is the probe of an HTTP server.
type web struct {
	url      *url.URL
	statuses statuses
	header   http.Header
	host     string // of the header Host, "" for the URL's
}

func parseHTTP(operand string, flags map[string][]string) (Probe, error) {
	var w web
	var err error
	if w.url, err = parseURL(operand); err != nil {
		return nil, err
	}
	text, given, err := once(flags, "status")
	if err != nil {
		return nil, err
	}
	w.statuses = statuses{{200, 399}}
	if given {
		if w.statuses, err = parseStatuses(text); err != nil {
			return nil, err
		}
	}
	return w, w.addHeaders(flags["header"])
}

// parseURL refuses what could not be asked, so that each later error is one of the server.
func parseURL(text string) (*url.URL, error) {
	if strings.HasPrefix(text, ":") {
		text = "http://localhost" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no URL", shorten(text))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q: want http://, https:// or :PORT/PATH", shorten(text))
	case u.Host == "":
		return nil, fmt.Errorf("%q: the host is missing", shorten(text))
	case u.User != nil:
		return nil, fmt.Errorf("%q: names and passwords go into --header Authorization", shorten(u.Redacted()))
	}
	_, err = addressesOf(u)
	return u, err
}

// addressesOf are those of a URL's host.
func addressesOf(u *url.URL) ([]netip.AddrPort, error) {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	if u.Hostname() == "" {
		return nil, errors.New("the host is missing")
	}
	return addresses(u.Hostname(), port)
}

func (w *web) addHeaders(flags []string) error {
	if len(flags) > maxHeaders {
		return fmt.Errorf("--header is given %d times, and %d are taken", len(flags), maxHeaders)
	}
	w.header = http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}}
	own := http.Header{}
	for _, f := range flags {
		name, value, ok := strings.Cut(f, "=")
		switch {
		case !ok:
			return fmt.Errorf("--header %q: want NAME=VALUE", shorten(f))
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("--header %q: %q is no name of a header", shorten(f), shorten(name))
		case !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("--header %q: the value has a line break or another control character", shorten(f))
		}
		own.Add(name, value)
	}
	if w.host = own.Get("Host"); w.host != "" && !httpguts.ValidHostHeader(w.host) {
		return fmt.Errorf("--header Host: %q is no host", shorten(w.host))
	}
	own.Del("Host")
	for name, values := range own {
		if w.header[name] = values; name == "Accept" && values[0] == "" {
			delete(w.header, name) // as the kubelet has it; net/http does the same for User-Agent
		}
	}
	return nil
}

func (web) kind() string { return "http" }

func (w web) ask(a asked) Answer {
	what := "http " + shorten(w.url.String()) + ": "
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	request := (&http.Request{Method: http.MethodGet, URL: w.url, Header: w.header.Clone(), Host: w.host}).WithContext(ctx)
	// A transport per probe: what it leaves open is closed with it.
	transport := &http.Transport{
		DialContext: dialer(ctx, a.target), DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a probe asks whether the server answers, not who it is
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: sameHost}
	response, err := client.Do(request)
	if err != nil {
		return bad("%s%s", what, shorten(webError(err)))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return bad("%sstatus %d, but the body breaks off: %s", what, response.StatusCode, shorten(err.Error()))
	}
	return w.judge(what, response, body)
}

func (w web) judge(what string, response *http.Response, body []byte) Answer {
	code := response.StatusCode
	if !w.statuses.have(code) {
		return bad("%sstatus %d, wanted %s: %s", what, code, w.statuses, shorten(string(body)))
	}
	if to := response.Header.Get("Location"); to != "" && code/100 == 3 {
		return good("%sstatus %d, a redirect to %s that is not followed: it is another host", what, code, shorten(to))
	}
	return good("%sstatus %d", what, code)
}

// sameHost follows redirects to the host that was asked. Another one's health is not the question.
func sameHost(next *http.Request, via []*http.Request) error {
	if next.URL.Hostname() != via[0].URL.Hostname() || next.URL.Scheme != "http" && next.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	return nil
}

// webError is without the URL, which stands there already.
func webError(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

// dialer connects with what parseHost knows, in the target's network. The connections end with ctx: those that the transport has begun and
// nobody waits for any more, in the middle of a TLS handshake perhaps, would stay.
func dialer(ctx context.Context, t Target) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, address string) (net.Conn, error) {
		list, err := parseAddress(address)
		if err != nil {
			return nil, err
		}
		plain, err := t.Dial(ctx, list...)
		if err != nil {
			return nil, err
		}
		conn := &askFirst{Conn: plain, asked: make(chan struct{})}
		context.AfterFunc(ctx, func() { conn.Close() })
		return conn, nil
	}
}

// askFirst is a connection on which nothing is heard before something was said. What a server says without being asked net/http
// would write into the daemon's log, as often as it is probed.
type askFirst struct {
	net.Conn
	once  sync.Once
	asked chan struct{}
}

func (c *askFirst) ask() { c.once.Do(func() { close(c.asked) }) }

func (c *askFirst) Write(b []byte) (int, error) {
	c.ask()
	return c.Conn.Write(b)
}

func (c *askFirst) Read(b []byte) (int, error) {
	<-c.asked
	return c.Conn.Read(b)
}

func (c *askFirst) Close() error {
	c.ask()
	return c.Conn.Close()
}
