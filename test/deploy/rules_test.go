// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/test/e2e"
)

const (
	rulesFile     = "../../deploy/prometheus/sardine.rules.yml"
	testsFile     = "../../deploy/prometheus/sardine.rules.test.yml"
	dashboardFile = "../../deploy/grafana/sardine.json"
	readmeFile    = "../../deploy/README.md"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPromtool(t *testing.T) {
	promtool := e2e.Program(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", rulesFile}, {"test", "rules", testsFile}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// A failure of promtool must be one of the test.
func TestPromtoolNotices(t *testing.T) {
	promtool := e2e.Program(t, "promtool")
	dir := t.TempDir()
	rules := strings.Replace(read(t, rulesFile), "sardine_network_pending > 0", "sardine_network_pending > 5", 1)
	for name, text := range map[string]string{"sardine.rules.yml": rules, "sardine.rules.test.yml": read(t, testsFile)} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(promtool, "test", "rules", dir+"/sardine.rules.test.yml").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "SardineNetworkDetachPending") {
		t.Errorf("a changed rule passes: %v\n%s", err, out)
	}
}

// Every alert is explained, tested both ways, and has a section that its runbook_url leads to.
func TestAlerts(t *testing.T) {
	rules := strings.Split(read(t, rulesFile), "- alert: ")[1:]
	if len(rules) < 9 {
		t.Fatalf("%d alerts", len(rules))
	}
	tests, readme := read(t, testsFile), read(t, readmeFile)
	for _, rule := range rules {
		name, _, _ := strings.Cut(rule, "\n")
		for _, want := range []string{"severity: ", "summary: ", "description: ", "runbook_url: https://github.com/sardine-run/sardine/blob/main/deploy/README.md#" + strings.ToLower(name) + "\n"} {
			if !strings.Contains(rule, want) {
				t.Errorf("alert %s has no %s", name, want)
			}
		}
		if !strings.Contains(tests, "alertname: "+name+", exp_alerts: []") {
			t.Errorf("no test sees alert %s stay silent", name)
		}
		if !strings.Contains(tests, "alertname: "+name+"\n        exp_alerts:\n          - exp_labels:") {
			t.Errorf("no test sees alert %s fire", name)
		}
		if !strings.Contains(readme, "\n### "+name+"\n") {
			t.Errorf("the README has no section on %s", name)
		}
	}
}

// metricName is how the names of metrics that are used begin. No label begins so.
var metricName = regexp.MustCompile(`\b(?:sardine|process|go|containerd|grpc|container)_[a-z0-9_]+`)

func metricsIn(text string) map[string]bool {
	found := map[string]bool{}
	for _, name := range metricName.FindAllString(text, -1) {
		found[name] = true
	}
	return found
}
