// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// portOf is the port that an address ends with.
func portOf(t testing.TB, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// listen on localhost. Nothing is answered.
func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// unusedPort is one on which nobody listens.
func unusedPort(t testing.TB) string {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	return portOf(t, l.Addr().String())
}

func TestTCP(t *testing.T) {
	nothingLeft(t)
	port := portOf(t, listen(t, "127.0.0.1:0").Addr().String())
	six := portOf(t, listen(t, "[::1]:0").Addr().String())
	for _, at := range []string{port, ":" + port, "localhost:" + port, "127.0.0.1:" + port, "[::ffff:127.0.0.1]:" + port} {
		want(t, place{}, "tcp "+at, Success, "tcp "+at+": connected with 127.0.0.1:"+port)
	}
	want(t, place{}, "tcp "+six, Success, "connected with [::1]:"+six)
	want(t, place{}, "tcp [::1]:"+six, Success, "connected with [::1]:"+six)
	for _, at := range []string{unusedPort(t), "127.0.0.2:" + six, "[::1]:" + port} {
		want(t, place{}, "tcp "+at, Failure, "connection refused")
	}
}

// web is a server of tests; its handlers are below.
func serve(t testing.TB, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
		fmt.Fprint(w, "because\n\x1b[31mof that")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot) // so that the body is told
		fmt.Fprintf(w, "%s|%q|%q|%q|%s", r.Host, r.Header["User-Agent"], r.Header["Accept"], r.Header["X-A"], r.URL.RawQuery)
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("u"), http.StatusFound)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for chunk := make([]byte, 32<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "a")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "short")
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
	start(server)
	t.Cleanup(server.Close)
	return server
}

func TestHTTP(t *testing.T) {
	nothingLeft(t)
	server := serve(t, (*httptest.Server).Start)
	base, port := server.URL, portOf(t, server.Listener.Addr().String())
	elsewhere := "http://192.0.2.1/"
	for args, result := range map[string]struct {
		code int
		text string
	}{
		base + "/ok":                                         {Success, "/ok: status 200"},
		":" + port + "/ok":                                   {Success, "http http://localhost:" + port + "/ok: status 200"},
		base + "/ok --status 201-299":                        {Failure, "status 200, wanted 201-299: fine"},
		base + "/status/204":                                 {Success, "status 204"},
		base + "/status/404":                                 {Failure, `status 404, wanted 200-399: because\n\x1b[31mof that`},
		base + "/status/500":                                 {Failure, "status 500"},
		base + "/status/404 --status 200,404":                {Success, "status 404"},
		base + "/to?u=/ok":                                   {Success, "status 200"},
		base + "/to?u=/status/500":                           {Failure, "status 500"},
		base + "/to?u=" + elsewhere:                          {Success, "status 302, a redirect to " + elsewhere + " that is not followed"},
		base + "/to?u=http://example.com/":                   {Success, "not followed"},
		base + "/to?u=file:///etc/passwd":                    {Success, "not followed"},
		base + "/to?u=" + elsewhere + " --status 200":        {Failure, "status 302, wanted 200"},
		base + "/to?u=http://127.0.0.1:1/":                   {Failure, "connection refused"},
		base + "/to?u=http://127.0.0.1:0/":                   {Failure, "from 1 to 65535"},
		base + "/loop":                                       {Failure, "stopped after 10 redirects"},
		base + "/endless":                                    {Success, "status 200"},
		base + "/broken":                                     {Failure, "the body breaks off"},
		base + "/header":                                     {Failure, "header"},
		base + "/echo?x=y":                                   {Failure, `127.0.0.1:` + port + `|["kube-probe/sardine"]|["*/*"]|[]|x=y`},
		base + "/echo --header X-A=1 --header x-a=2=3":       {Failure, `|["1" "2=3"]|`},
		base + "/echo --header Host=example.com":             {Failure, `example.com|`},
		base + "/echo --header User-Agent=me":                {Failure, `|["me"]|`},
		base + "/echo --header User-Agent= --header Accept=": {Failure, `|[]|[]|`},
		"http://127.0.0.1:" + unusedPort(t) + "/":            {Failure, "connection refused"},
		"https://127.0.0.1:" + port + "/ok":                  {Failure, "HTTP response to HTTPS client"},
	} {
		want(t, place{}, "http "+args, result.code, result.text)
	}
}

// TestHTTPS: whose certificate it is does not matter; both versions of the protocol are spoken.
func TestHTTPS(t *testing.T) {
	nothingLeft(t)
	for _, two := range []bool{false, true} {
		server := serve(t, func(s *httptest.Server) { s.EnableHTTP2 = two; s.StartTLS() })
		for range 3 {
			want(t, place{}, "http "+server.URL+"/ok", Success, "status 200")
			want(t, place{}, "http "+server.URL+"/endless", Success, "status 200")
			want(t, place{}, "http "+server.URL+"/to?u=/ok", Success, "status 200")
		}
	}
}

// mute accepts connections and says nothing, or the text given and nothing more.
func mute(t testing.TB, say string) (address string) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, say)
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); done.Wait() })
	return l.Addr().String()
}

// TestSilentServers: a probe ends with its time, whatever the server does, and leaves nothing.
func TestSilentServers(t *testing.T) {
	nothingLeft(t)
	server := serve(t, (*httptest.Server).Start)
	silent := mute(t, "")
	for _, args := range []string{
		"http " + server.URL + "/silent", "http " + server.URL + "/slow",
		"http http://" + silent + "/", "https", "http http://" + mute(t, "HTTP/1.1 200 OK\r\nX: ") + "/",
		"http http://" + mute(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab") + "/", "grpc " + silent,
		"all tcp " + silent + " -- grpc " + silent, "any http http://" + silent + "/ -- grpc " + silent,
	} {
		if args == "https" {
			args = "http https://" + silent + "/"
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		done, err := (&Prober{}).Run(ctx, place{}, append([]string{Name}, strings.Fields(args)...))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > testnode.Patience { // they are silent for ever
			t.Errorf("%s: %+v, %v after %v", args, done, err, time.Since(begin))
		}
	}
	want(t, place{}, "http http://"+mute(t, "SSH-2.0-OpenSSH\r\n")+"/", Failure, "malformed HTTP response")
	want(t, place{}, "grpc "+mute(t, "SSH-2.0-OpenSSH\r\n"), Failure, "Unavailable")
}

func TestGRPC(t *testing.T) {
	nothingLeft(t)
	states := health.NewServer()
	states.SetServingStatus("up", healthpb.HealthCheckResponse_SERVING)
	states.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	at := serveGRPC(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, states) })
	bare := serveGRPC(t, func(*grpc.Server) {})
	for args, result := range map[string]struct {
		code int
		text string
	}{
		at:                           {Success, "grpc " + at + ": SERVING"},
		portOf(t, at):                {Success, ": SERVING"},
		at + " --service up":         {Success, "grpc " + at + " service up: SERVING"},
		at + " --service down":       {Failure, "grpc " + at + " service down: NOT_SERVING"},
		at + " --service none":       {Failure, "the health service does not know the service"},
		bare:                         {Failure, "the server has no service grpc.health.v1.Health"},
		"127.0.0.1:" + unusedPort(t): {Failure, "connection refused"},
	} {
		for range 3 {
			want(t, place{}, "grpc "+args, result.code, result.text)
		}
	}
	states.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	want(t, place{}, "grpc "+at, Failure, "NOT_SERVING")
}

func serveGRPC(t testing.TB, register func(*grpc.Server)) (address string) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	s := grpc.NewServer()
	register(s)
	var done sync.WaitGroup
	done.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); done.Wait() })
	return l.Addr().String()
}

func TestAlive(t *testing.T) {
	want(t, place{}, "alive", Success, "alive: the main process exists and is not frozen")
	want(t, place{dead: errors.New("the main process\nis frozen")}, "alive", Failure, `alive: the main process\nis frozen`)
}

func TestCombinations(t *testing.T) {
	nothingLeft(t)
	p := newRoot(t, map[string]time.Duration{"in": 0, "old": time.Hour})
	port, silent := portOf(t, listen(t, "127.0.0.1:0").Addr().String()), mute(t, "")
	good, bad := "file /in --validity 1h", "file /old --validity 1s"
	for args, result := range map[string]struct {
		code int
		text string
	}{
		"all alive": {Success, "all: alive: the main process"},
		"all alive -- " + good + " -- tcp " + port:    {Success, "; "},
		"all alive -- " + bad + " -- tcp " + port:     {Failure, "all: file /old: modified 1h0m"},
		"any " + bad + " -- alive":                    {Success, "any: alive: "},
		"any " + bad + " -- file /none --validity 1s": {Failure, "file /none: does not exist"},
		// The first answer that decides is enough.
		"all http http://" + silent + "/ -- " + bad:              {Failure, "all: file /old"},
		"any grpc " + silent + " -- " + good:                     {Success, "any: file /in"},
		"all " + good + strings.Repeat(" -- "+good, maxProbes-1): {Success, ""},
	} {
		want(t, p, args, result.code, result.text)
	}
	long := "file /" + strings.Repeat("x\n", 100)
	code, output := askWith(t, t.Context(), &Prober{}, p, strings.Split("any "+strings.Repeat(long+" --validity 1s -- ", 15)+long+" --validity 1s", " ")...)
	if code != Failure || !strings.HasSuffix(output, "...") {
		t.Errorf("exit code %d, %q", code, output)
	}
}

// TestObserve: each probe is counted once, under names that a client cannot choose.
func TestObserve(t *testing.T) {
	p := newRoot(t, map[string]time.Duration{"in": 0})
	var seen []string
	prober := &Prober{Observe: func(kind string, outcome Outcome, took time.Duration) {
		if took < 0 || took > testnode.Patience {
			t.Errorf("it took %v", took)
		}
		seen = append(seen, kind+" "+string(outcome))
	}}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range []string{"file /in --validity 1h", "file /none --validity 1h", "bogus", "all alive -- tcp 0", "all alive", "alive"} {
		askWith(t, t.Context(), prober, p, strings.Fields(args)...)
	}
	if _, err := prober.Run(over, p, []string{Name, "http", "http://" + mute(t, "") + "/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got, want := strings.Join(seen, ", "), "file success, file failure, invalid usage, invalid usage, all success, alive success, http timeout"; got != want {
		t.Errorf("seen: %s; want %s", got, want)
	}
}

func TestTakes(t *testing.T) {
	p := &Prober{}
	for _, args := range [][]string{nil, {}, {""}, {"sh", "-c", Name}, {"/bin/" + Name}, {"./" + Name}, {Name + " alive"}, {Name + "\x00"}, {"Sardine-Probe"}, {" " + Name}} {
		if p.Takes(args) {
			t.Errorf("%q is taken", args)
		}
	}
	if args := []string{Name}; !p.Takes(args) || (*Prober)(nil).Takes(args) {
		t.Error("it takes its name if it is there, and only then")
	}
}
