// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"
)

// serveHTTP serves
//
//	/healthz                200, or 503 when ill
//	/status/CODE            CODE
//	/redirect?to=URL        302 to URL, which may be relative
//	/around                 302 to itself
//	/slow                   an answer after a minute
//	/endless                200 and a body without end, as fast as it is taken
//	/header?name=N&value=V  200 if the request has the header N with the value V, otherwise 400; the name Host too
func serveHTTP(listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if ill() {
			http.Error(w, "ill", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil || code < 200 || code > 599 {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.FormValue("to"))
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/around", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/around", http.StatusFound) })
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/endless", endless)
	mux.HandleFunc("/header", header)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// serveHTTPS is serveHTTP with a certificate that nobody trusts.
func serveHTTPS(listener net.Listener) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	return serveHTTP(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}}))
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"nobody.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// endless writes until nobody takes it.
func endless(w http.ResponseWriter, _ *http.Request) {
	piece := bytes.Repeat([]byte("."), 64<<10)
	for {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

func slow(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(time.Minute):
	case <-r.Context().Done():
	}
}

func header(w http.ResponseWriter, r *http.Request) {
	name, want := r.FormValue("name"), r.FormValue("value")
	got := r.Header.Get(name)
	if name == "Host" {
		got = r.Host
	}
	if got != want {
		http.Error(w, fmt.Sprintf("%s is %q, not %q", name, got, want), http.StatusBadRequest)
	}
}
