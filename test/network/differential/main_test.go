// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(worldVariable) != "" {
		os.Exit(liveInWorld())
	}
	if os.Getenv("SARDINE_BIN_DIR") == "" {
		os.Setenv("SARDINE_BIN_DIR", "../../../bin") // this package lies one level deeper than others
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil { // comparison.places bounds the worlds
		panic(err)
	}
	os.Exit(m.Run())
}
