// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/nsdial"
)

const (
	maxAnswer = 4 << 10 // bytes
	// listenPatience bounds waiting for the server: its program runs when the container is started, and listens a little later.
	listenPatience = 20 * time.Second
)

// get fetches the page of a server from a network namespace.
func get(ctx context.Context, ns *os.File, ip string, port uint16) (text string, took time.Duration, err error) {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, listenPatience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return nsdial.TCP(ctx, ns, net.Dialer{}, netip.AddrPortFrom(address, port))
		},
	}}
	for {
		began := time.Now()
		text, err = fetch(ctx, client, fmt.Sprintf("http://%s/", netip.AddrPortFrom(address, port)))
		if !errors.Is(err, unix.ECONNREFUSED) {
			return text, time.Since(began), err
		}
		select {
		case <-ctx.Done():
			return "", 0, err
		case <-time.After(time.Millisecond):
		}
	}
}

func fetch(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(text), err
}

// bridgeAddress is an IPv4 address of the host, in its network namespace.
func bridgeAddress(ns *os.File) (found string, err error) {
	var addresses []net.Addr
	kernel.OnThread(func() {
		if err = kernel.Setns(int(ns.Fd()), unix.CLONE_NEWNET, "network namespace"); err == nil {
			addresses, err = net.InterfaceAddrs()
		}
	})
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String(), nil
		}
	}
	return "", errors.Join(err, errors.New("the host has no address"))
}
