// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// column of the table of pods.
type column struct {
	title string
	right bool
	// need says how much it is needed: a narrow window loses the columns that are needed least.
	need int
}

// columns of the table, from the left.
func tableColumns() []column {
	return []column{
		{title: "NAMESPACE/NAME", need: 9},
		{title: "RUNNING", right: true, need: 5},
		{title: "STATE", need: 4},
		{title: "CPU %", right: true, need: 8},
		{title: "MEMORY", right: true, need: 7},
		{title: "RESTARTS", right: true, need: 6},
		{title: "AGE", right: true, need: 3},
		{title: "IP", need: 2},
	}
}

const (
	gap = 2
	// minName is how far the first column is cut before another one is left out.
	minName = 16
)

// podRow has one cell for each column.
func podRow(p *Pod) []string {
	return []string{
		printable(p.Namespace + "/" + p.Name), fmt.Sprintf("%d/%d", p.ContainersRunning, len(p.Containers)), p.State,
		percentText(p.CPUPercent), memoryText(p.MemoryWorkingSetBytes), fmt.Sprint(p.Restarts), ageText(seconds(p.AgeSeconds)),
		printable(strings.Join(p.IPs, ",")),
	}
}

func containerRow(c *Container) []string {
	return []string{
		"  " + printable(c.Name), "", c.State, percentText(c.CPUPercent), memoryText(c.MemoryWorkingSetBytes),
		fmt.Sprint(c.Restarts), ageText(seconds(c.AgeSeconds)), "",
	}
}

func memoryText(n *uint64) string {
	if n == nil {
		return unknown
	}
	return bytesText(*n)
}

// rows are those of pods in the order given, with their containers if they are wanted.
func rows(pods []Pod, containers bool) [][]string {
	var list [][]string
	for i := range pods {
		list = append(list, podRow(&pods[i]))
		if containers {
			for j := range pods[i].Containers {
				list = append(list, containerRow(&pods[i].Containers[j]))
			}
		}
	}
	return list
}

// table lays rows out in lines of at most width columns, the titles first. Width 0 is
// unlimited.
func table(list [][]string, width int) []string {
	columns := tableColumns()
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = textWidth(c.title)
		for _, row := range list {
			widths[i] = max(widths[i], textWidth(row[i]))
		}
	}
	shown := fit(columns, widths, width)
	lines := make([]string, 0, len(list)+1)
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	for _, row := range slices.Insert(list, 0, titles) {
		lines = append(lines, tableLine(columns, widths, shown, row))
	}
	return lines
}

// fit chooses the columns that have room, and cuts the width of the first.
func fit(columns []column, widths []int, width int) (shown []int) {
	for i := range columns {
		shown = append(shown, i)
	}
	if width == 0 {
		return shown
	}
	rest := func() (n int) { // what the columns but the first take
		for _, i := range shown[1:] {
			n += gap + widths[i]
		}
		return n
	}
	for len(shown) > 1 && width-rest() < min(widths[0], minName) {
		least := slices.MinFunc(shown, func(a, b int) int { return columns[a].need - columns[b].need })
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == least })
	}
	widths[0] = min(widths[0], max(width-rest(), 0))
	return shown
}

func tableLine(columns []column, widths, shown []int, row []string) string {
	cells := make([]string, len(shown))
	for n, i := range shown {
		cells[n] = pad(clip(row[i], widths[i]), widths[i], columns[i].right)
	}
	return strings.TrimRight(strings.Join(cells, strings.Repeat(" ", gap)), " ")
}

// header has the lines above the table: who answers, the node, and what runs beside the pods.
func header(r *Report) []string {
	return []string{
		fmt.Sprintf("%s %s at %s, %s", printable(r.RuntimeName), printable(r.RuntimeVersion), printable(r.Address), r.Time.Local().Format("15:04:05")),
		nodeLine(&r.Node),
		daemonLine(r.Daemon),
	}
}

func nodeLine(n *Node) string {
	return fmt.Sprintf("node    cpu %s%% of %d%%  memory %s of %s  pods %d, %d ready  containers %d, %d running",
		percentText(n.CPUPercent), 100*n.CPUs, bytesText(uint64(n.MemoryTotalBytes-n.MemoryAvailableBytes)), bytesText(uint64(n.MemoryTotalBytes)),
		n.Pods, n.PodsReady, n.Containers, n.ContainersRunning)
}

func daemonLine(d *Daemon) string {
	if d == nil {
		return "daemon  its process cannot be seen from here"
	}
	line := "daemon  " + processText(&d.Process)
	if d.Goroutines != nil {
		line += fmt.Sprintf("  goroutines %d", *d.Goroutines)
	}
	if d.StoredDescriptors != nil {
		line += fmt.Sprintf("  stored %d", *d.StoredDescriptors)
	}
	if h := d.Holder; h != nil {
		line += fmt.Sprintf("  holder: memory %s  descriptors %s", bytesText(uint64(h.ResidentBytes)), countText(h.Descriptors))
	}
	return line
}

func processText(p *Process) string {
	return fmt.Sprintf("cpu %s%%  memory %s  threads %d  descriptors %s  up %s  pid %d",
		percentText(p.CPUPercent), bytesText(uint64(p.ResidentBytes)), p.Threads, countText(p.Descriptors), ageText(seconds(p.AgeSeconds)), p.PID)
}

func countText(n *int) string {
	if n == nil {
		return unknown
	}
	return fmt.Sprint(*n)
}

// WriteTable writes the report for people, in the order of o.
func (r *Report) WriteTable(w io.Writer, o Options) error {
	lines := append(header(r), "")
	lines = append(lines, table(rows(sorted(r.Pods, o.Sort, o.Reverse), o.Containers), 0)...)
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}
