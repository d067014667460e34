#!/usr/bin/env bash
# Turns the image that ours stand on into the root of ours: without what only builds, and the same whenever it is made.
set -euo pipefail

# Of Debian's Python; python.org's images keep theirs under /usr/local.
mapfile -t building < <(dpkg-query -W -f '${Package}\n' | grep -E -- '-dev$|-whl$|^python3(\.[0-9]+)?-(distutils|lib2to3|pip|pkg-resources|setuptools|venv|wheel)$' || true)
[ ${#building[@]} -eq 0 ] || DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y "${building[@]}" >/dev/null
library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
rm -rf "$library"/{config-*,ensurepip,idlelib,lib2to3,test,tkinter,turtledemo} /usr/local/include
rm -rf /usr/local/lib/python3*/site-packages/{pip,setuptools,wheel}* /usr/local/bin/{2to3,idle,pip,wheel}* /etc/pip.conf
rm -rf /root/.[!.]* /tmp/* /var/cache/* /var/lib/apt/lists/* /var/lib/dpkg/*-old /var/log/* /etc/{passwd,group,shadow,gshadow}-

# Nobody may become somebody else.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
echo 'fraud:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd
echo 'fraud:x:10001:' >> /etc/group

# Byte code that says when its source was written is compiled anew at every start once that time has changed.
find / -xdev -type d -name __pycache__ -prune -exec rm -rf {} +
PYTHONHASHSEED=0 python3 -m compileall -qf --invalidation-mode unchecked-hash "$library"
