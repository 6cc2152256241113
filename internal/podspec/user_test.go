// SPDX-License-Identifier: Apache-2.0

package podspec

// passwd and group are those of an image.
const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\napp:x:1000:1001:App:/home/app:/bin/sh\nother:x:2000:2000::/:/bin/sh\n"
	group  = "root:x:0:root\nbin:x:1:root,bin\nwheel:x:10:root,app\napp:x:1001:app\nvideo:x:44:app,other\n"
)
