// SPDX-License-Identifier: Apache-2.0

package top

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxExposition bounds what is read of a daemon's metrics. They have some 100 KB.
const maxExposition = 16 << 20

// daemonMetrics is what only the daemon itself can tell.
type daemonMetrics struct {
	goroutines, stored *int
}

// metricsURL completes an address as it stands in the daemon's configuration to a URL.
func metricsURL(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address + "/v1/metrics"
}

func readMetrics(ctx context.Context, client *http.Client, url string) (daemonMetrics, error) {
	m, err := fetchMetrics(ctx, client, url)
	if err != nil {
		return daemonMetrics{}, fmt.Errorf("metrics of the daemon (is %s the address of its metrics?): %w", url, err)
	}
	return m, nil
}

func fetchMetrics(ctx context.Context, client *http.Client, url string) (daemonMetrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return daemonMetrics{}, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return daemonMetrics{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return daemonMetrics{}, fmt.Errorf("answer %s", answer.Status)
	}
	return parseMetrics(io.LimitReader(answer.Body, maxExposition))
}

// parseMetrics reads Prometheus' text format. Of a metric with labels it wants the sum.
func parseMetrics(r io.Reader) (daemonMetrics, error) {
	var m daemonMetrics
	wanted := map[string]**int{"go_goroutines": &m.goroutines, "sardine_stored_descriptors": &m.stored}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // a line may have a long label
	for lines.Scan() {
		name, value := metricLine(lines.Text())
		into := wanted[name]
		if into == nil {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return daemonMetrics{}, fmt.Errorf("metric %s: %w", name, err)
		}
		sum := int(v)
		if *into != nil {
			sum += **into
		}
		*into = &sum
	}
	return m, lines.Err()
}

// metricLine splits a line into the name of the metric, without labels, and the value.
func metricLine(line string) (name, value string) {
	end := strings.IndexAny(line, "{ \t")
	if end < 0 {
		return "", ""
	}
	name, rest := line[:end], line[end:]
	if rest[0] == '{' {
		rest = rest[strings.LastIndexByte(rest, '}')+1:]
	}
	if fields := strings.Fields(rest); len(fields) > 0 {
		return name, fields[0]
	}
	return "", ""
}
