// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/test/cri"
	"github.com/sardine-run/sardine/test/e2e"
)

const address = "127.0.0.1:1338"

// Every metric that rules and dashboard name is one that a daemon has, and every one of ours is
// explained.
func TestMetricsExist(t *testing.T) {
	n := cri.StartNode(t, e2e.WithConfig("[plugins.\"io.containerd.server.v1.metrics\"]\naddress = \""+address+"\""))
	n.Pull(cri.Busybox)
	pod := n.RunPod()
	pod.Run("forever", cri.Forever)
	n.WaitExited(pod.Run("short", "exit 0"))
	pod.Remove()
	served := scrape(t, n)
	exist := metricsIn(served)
	for _, name := range []string{rulesFile, dashboardFile} {
		for metric := range metricsIn(read(t, name)) {
			if !exist[metric] {
				t.Errorf("%s names %s, which the daemon does not have", name, metric)
			}
		}
	}
	// Those that the rules name, and one of each kind.
	for _, phase := range []fault.Name{fault.StopContainers, fault.RunNetwork, fault.MakeLayer, fault.StartProgram, fault.RemoveRecord, fault.CreateWatch} {
		if !strings.Contains(served, fmt.Sprintf("sardine_phase_seconds_count{phase=%q} ", string(phase))) {
			t.Errorf("there is no phase %s", phase)
		}
	}
	readme := read(t, readmeFile)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (sardine_\w+)`).FindAllStringSubmatch(served, -1) {
		if !strings.Contains(readme, "`"+m[1]) {
			t.Errorf("the README does not explain %s", m[1])
		}
	}
}

func scrape(t *testing.T, n *cri.Node) string {
	t.Helper()
	answer, err := n.Place.HTTP().Get("http://" + address + "/v1/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", answer.Status, err)
	}
	return string(text)
}
