"""The well-known public registries, as the configuration would write them."""

from typing import Final

from regproxy.config.reading import Tree

BUILTIN: Final[dict[str, Tree]] = {
    "docker.io": {
        "aliases": ["index.docker.io", "registry-1.docker.io"],
        "hosts": [{"url": "https://registry-1.docker.io"}],
        "realms": ["auth.docker.io"],
    },
    "quay.io": {"hosts": [{"url": "https://quay.io"}]},
    "ghcr.io": {"hosts": [{"url": "https://ghcr.io"}]},
    "gcr.io": {"hosts": [{"url": "https://gcr.io"}]},
    "registry.k8s.io": {"hosts": [{"url": "https://registry.k8s.io"}]},
    "mcr.microsoft.com": {"hosts": [{"url": "https://mcr.microsoft.com"}]},
    "public.ecr.aws": {"hosts": [{"url": "https://public.ecr.aws"}]},
    "nvcr.io": {"hosts": [{"url": "https://nvcr.io"}]},
    "registry.gitlab.com": {"hosts": [{"url": "https://registry.gitlab.com"}]},
    "docker.elastic.co": {"hosts": [{"url": "https://docker.elastic.co"}]},
    "cgr.dev": {"hosts": [{"url": "https://cgr.dev"}]},
    "dhi.io": {"hosts": [{"url": "https://dhi.io"}], "realms": ["auth.docker.io"]},
    "registry.ollama.ai": {"hosts": [{"url": "https://registry.ollama.ai"}]},
    "lscr.io": {"hosts": [{"url": "https://lscr.io"}], "realms": ["ghcr.io"]},
    "registry.cn-hangzhou.aliyuncs.com": {"hosts": [{"url": "https://registry.cn-hangzhou.aliyuncs.com"}]},
    "ccr.ccs.tencentyun.com": {"hosts": [{"url": "https://ccr.ccs.tencentyun.com"}]},
    "swr.cn-east-3.myhuaweicloud.com": {"hosts": [{"url": "https://swr.cn-east-3.myhuaweicloud.com"}]},
}
