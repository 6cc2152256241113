// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"encoding/json"
	"strings"
	"testing"
)

// dashboard is what the tests look at of one.
type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name string `json:"name"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string `json:"expr"`
	} `json:"targets"`
	Panels []panel `json:"panels"`
}

func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "sardine" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) < 10 {
		t.Errorf("%+v", d)
	}
	ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || titles[p.Title] || len(p.Panels) > 0 {
			t.Errorf("panel %d, %q: its id and title must be its own", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		p.check(t)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q or beside the grid", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

func (p *panel) check(t *testing.T) {
	t.Helper()
	if (p.Type == "row") != (len(p.Targets) == 0) {
		t.Errorf("panel %q of type %s has %d queries", p.Title, p.Type, len(p.Targets))
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if refs[target.RefID] {
			t.Errorf("panel %q has two queries %s", p.Title, target.RefID)
		}
		refs[target.RefID] = true
		if len(metricsIn(target.Expr)) == 0 || !strings.Contains(target.Expr, `job=~"$job", instance=~"$instance"`) {
			t.Errorf("panel %q: query %q", p.Title, target.Expr)
		}
	}
}
