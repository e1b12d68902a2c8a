{{- define "regproxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "regproxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "regproxy.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "regproxy.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "regproxy.hasCluster" -}}{{- if ne .Values.mode "node" -}}true{{- end -}}{{- end -}}
{{- define "regproxy.hasNodes" -}}{{- if ne .Values.mode "cluster" -}}true{{- end -}}{{- end -}}

{{- define "regproxy.selector" -}}
app.kubernetes.io/name: {{ include "regproxy.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "regproxy.labels" -}}
{{ include "regproxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "regproxy.image" -}}
{{- $image := .Values.image -}}
{{- if not $image.repository }}{{ fail "image.repository is missing: where you pushed the image that the Dockerfile makes" }}{{ end -}}
{{- if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}{{- else -}}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end -}}

{{- define "regproxy.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}{{ .Values.serviceAccount.name | default (include "regproxy.fullname" .) }}{{- else -}}{{ .Values.serviceAccount.name | default "default" }}{{- end -}}
{{- end -}}

{{- define "regproxy.service" -}}
{{ include "regproxy.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "regproxy.serviceType" -}}
{{- .Values.service.type | default (ternary "NodePort" "ClusterIP" (eq .Values.mode "cluster")) -}}
{{- end -}}

{{- define "regproxy.scheme" -}}{{ if .Values.tls.existingSecret }}https{{ else }}http{{ end }}{{- end -}}

{{/* All interfaces, of the families that the cluster has. */}}
{{- define "regproxy.wildcard" -}}
{{- if gt (len .Values.ipFamilies) 1 -}}*{{- else if eq (first .Values.ipFamilies) "IPv6" -}}[::]{{- else -}}0.0.0.0{{- end -}}
{{- end -}}

{{- define "regproxy.families" -}}
ipFamilyPolicy: {{ if gt (len .Values.ipFamilies) 1 }}PreferDualStack{{ else }}SingleStack{{ end }}
ipFamilies: {{ toJson .Values.ipFamilies }}
{{- end -}}

{{/* One address for each member of a fleet: by two it would be two members. */}}
{{- define "regproxy.oneFamily" -}}
ipFamilyPolicy: SingleStack
ipFamilies: [{{ first .Values.ipFamilies }}]
{{- end -}}

{{- define "regproxy.trafficDistribution" -}}
{{- $wanted := .Values.service.trafficDistribution -}}
{{- if $wanted -}}{{ if ne $wanted "none" }}trafficDistribution: {{ $wanted }}{{ end }}
{{- else if semverCompare ">=1.34.0-0" .Capabilities.KubeVersion.Version -}}trafficDistribution: PreferSameZone
{{- else if semverCompare ">=1.31.0-0" .Capabilities.KubeVersion.Version -}}trafficDistribution: PreferClose
{{- end -}}
{{- end -}}

{{/* What nobody but the chart may set, as the Services and probes depend on it. */}}
{{- define "regproxy.checkConfig" -}}
{{- range $place, $config := dict "config" .Values.config "node.config" .Values.node.config -}}
{{- range tuple "listen" "admin_listen" "tls" -}}
{{- if hasKey $config . -}}{{- fail (printf "%s.%s is set by the chart: use ipFamilies, service.port, node.port and tls.existingSecret" $place .) -}}{{- end -}}
{{- end -}}
{{- if hasKey ($config.store | default dict) "root" -}}{{- fail (printf "%s.store.root is set by the chart: use persistence or node.hostPath" $place) -}}{{- end -}}
{{- end -}}
{{- if .Values.fleet.enabled -}}
{{- if eq .Values.mode "node" -}}{{- fail "fleet.enabled is for the replicas of the cluster cache: mode: node has none, and its nodes are one by node.fleet" -}}{{- end -}}
{{- if not .Values.fleet.existingSecret -}}{{- fail "fleet.existingSecret is missing: a Secret with REGPROXY_FLEET_KEY" -}}{{- end -}}
{{- end -}}
{{- if .Values.node.fleet.enabled -}}
{{- if not (include "regproxy.hasNodes" .) -}}{{- fail "node.fleet.enabled is for the caches of nodes: mode: cluster has none" -}}{{- end -}}
{{- if .Values.node.hostNetwork -}}{{- fail "node.fleet.enabled and node.hostNetwork: such a cache listens at node.hostIP, where the other nodes do not reach it" -}}{{- end -}}
{{- if not .Values.node.fleet.existingSecret -}}{{- fail "node.fleet.existingSecret is missing: a Secret with REGPROXY_FLEET_KEY" -}}{{- end -}}
{{- if eq .Values.node.fleet.existingSecret .Values.fleet.existingSecret -}}{{- fail "node.fleet.existingSecret needs to be another Secret than fleet.existingSecret: whoever has taken a node has its key" -}}{{- end -}}
{{- end -}}
{{- if and .Values.store.behind.url (not .Values.store.behind.existingSecret) -}}
{{- fail "store.behind.existingSecret is missing: a Secret with REGPROXY_OBJECT_KEY" -}}
{{- end -}}
{{- if and .Values.clientConfig.enabled (eq .Values.mode "cluster") (ne (include "regproxy.serviceType" .) "NodePort") (not .Values.clientConfig.endpoint) -}}
{{- fail "clientConfig.endpoint is missing: nodes know no name of the cluster, so give service.type NodePort, or the URL by which nodes reach the Service" -}}
{{- end -}}
{{- /* A NodePort is open at the loopback address too, and taken first. */ -}}
{{- if and (eq .Values.mode "both") (eq (include "regproxy.serviceType" .) "NodePort") (eq (int .Values.service.nodePort) (int .Values.node.port)) -}}
{{- fail "service.nodePort and node.port are the same: nodes would pass their own cache by, so give one of them another number" -}}
{{- end -}}
{{- if include "regproxy.hasCluster" . }}{{ include "regproxy.checkCredentials" (include "regproxy.clusterConfig" . | fromYaml) }}{{ end -}}
{{- if include "regproxy.hasNodes" . }}{{ include "regproxy.checkCredentials" (include "regproxy.nodeConfig" . | fromYaml) }}{{ end -}}
{{- end -}}

{{/* regproxy would not start: said before anything is installed. */}}
{{- define "regproxy.checkCredentials" -}}
{{- $takes := not (empty .clients) -}}
{{- range .upstreams }}{{ if eq (toString (. | default dict).access) "proven" }}{{ $takes = true }}{{ end }}{{ end -}}
{{- if and $takes (not .tls) (not .insecure_credentials) (not (regexMatch "^(127\\.|\\[::1\\])" .listen)) -}}
{{- fail "config.clients and `access: proven` need tls.existingSecret, or passwords would be sent in clear text: or node.hostNetwork (mode: node), by which the cache listens on the node's loopback interface alone, or config.insecure_credentials" -}}
{{- end -}}
{{- end -}}

{{/* Names by which Prometheus or a person may call the admin port. */}}
{{- define "regproxy.adminHosts" -}}
{{- $service := printf "%s-metrics" (include "regproxy.fullname" .) -}}
{{- $own := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) -}}
{{- toJson (concat $own (.Values.config.admin_hosts | default list) | uniq) -}}
{{- end -}}

{{- define "regproxy.tlsConfig" -}}
{{- if .Values.tls.existingSecret }}
tls: {certificate: /etc/regproxy/tls/tls.crt, key: /etc/regproxy/tls/tls.key}
{{- end }}
{{- end -}}

{{/* A fleet whose members have the addresses of a headless Service; each finds out which of them is its own. */}}
{{- define "regproxy.fleetConfig" -}}
{{- $fleet := dict "peers" (printf "dns://%s-%s.%s.svc:5000" (include "regproxy.fullname" .root) .service .root.Release.Namespace) "key" "${REGPROXY_FLEET_KEY}" -}}
{{- if .root.Values.tls.existingSecret }}{{ $_ := set $fleet "ca" "/etc/regproxy/tls/ca.crt" }}{{ end -}}
{{- with .fleet.zone }}{{ $_ := set $fleet "zone" (eq . "auto" | ternary "${REGPROXY_ZONE}" .) }}{{ end -}}
{{- toYaml $fleet -}}
{{- end -}}

{{- define "regproxy.clusterConfig" -}}
{{- $credentials := dict -}}
{{- range $name, $_ := .Values.upstreamCredentials -}}
{{- $_ := set $credentials $name (dict "credentials" (dict "docker_config" (printf "/etc/regproxy/credentials/%s/.dockerconfigjson" (sha256sum $name | trunc 12)))) -}}
{{- end -}}
{{- $store := dict "root" "/var/lib/regproxy/store" -}}
{{- with .Values.store.behind }}{{ if .url -}}
{{- $behind := dict "url" .url "key" "${REGPROXY_OBJECT_KEY}" -}}
{{- with .endpoint }}{{ $_ := set $behind "endpoint" . }}{{ end -}}
{{- $_ := set $store "behind" $behind -}}
{{- end }}{{ end -}}
{{- $own := dict "listen" (printf "%s:5000" (include "regproxy.wildcard" .)) "admin_listen" (printf "%s:5001" (include "regproxy.wildcard" .)) "admin_hosts" (include "regproxy.adminHosts" . | fromJsonArray) "store" $store -}}
{{- if .Values.fleet.enabled -}}
{{- $_ := set $own "fleet" (include "regproxy.fleetConfig" (dict "root" . "fleet" .Values.fleet "service" "peers") | fromYaml) -}}
{{- end -}}
{{- if $credentials }}{{- $_ := set $own "upstreams" $credentials }}{{- end -}}
{{- $tls := include "regproxy.tlsConfig" . | fromYaml -}}
{{- mustMergeOverwrite (dict "log_format" "json") (deepCopy .Values.config) $own $tls | toYaml -}}
{{- end -}}

{{/* The cluster's cache as nodes ask it: by the Service, and by each replica's own name, at which a pull goes on whose replica was killed.
     With https the certificate names the Service alone. */}}
{{- define "regproxy.clusterHosts" -}}
{{- $host := dict "url" (printf "%s://%s:%d" (include "regproxy.scheme" .) (include "regproxy.service" .) (int .Values.service.port)) "kind" "cache" -}}
{{- $hosts := list $host -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $host "tls" (dict "ca" "/etc/regproxy/tls/ca.crt") -}}
{{- else if gt (int .Values.replicaCount) 1 -}}
{{- range until (int .Values.replicaCount) -}}
{{- $hosts = append $hosts (dict "url" (printf "http://%s-%d.%s-peers.%s.svc:5000" (include "regproxy.fullname" $) . (include "regproxy.fullname" $) $.Release.Namespace) "kind" "cache") -}}
{{- end -}}
{{- end -}}
{{- toJson $hosts -}}
{{- end -}}

{{- define "regproxy.nodeConfig" -}}
{{- $address := include "regproxy.wildcard" . -}}
{{- $port := 5000 -}}
{{- $admin := printf "%s:5001" $address -}}
{{- if .Values.node.hostNetwork -}}
{{- $address = .Values.node.hostIP | contains ":" | ternary (printf "[%s]" .Values.node.hostIP) .Values.node.hostIP -}}
{{- $port = int .Values.node.port -}}
{{- $admin = printf "%s:%d" $address (int .Values.node.adminPort) -}}
{{- end -}}
{{- $own := dict "listen" (printf "%s:%d" $address $port) "admin_listen" $admin "admin_hosts" (include "regproxy.adminHosts" . | fromJsonArray) "store" (dict "root" "/var/lib/regproxy/store") -}}
{{- if .Values.node.fleet.enabled -}}
{{- $_ := set $own "fleet" (include "regproxy.fleetConfig" (dict "root" . "fleet" .Values.node.fleet "service" "node-peers") | fromYaml) -}}
{{- end -}}
{{- if eq .Values.mode "both" -}}
{{- $upstreams := dict -}}
{{- $hosts := include "regproxy.clusterHosts" . | fromJsonArray -}}
{{- range concat .Values.node.upstreams (keys (.Values.config.upstreams | default dict)) | uniq | sortAlpha -}}
{{- $_ := set $upstreams . (dict "hosts" $hosts) -}}
{{- end -}}
{{- $base := omit (deepCopy .Values.config) "upstreams" "store" "redis" "warm" "fleet" "workers" -}}
{{- mustMergeOverwrite (dict "log_format" "json" "workers" 1) $base (dict "upstreams" $upstreams) (deepCopy .Values.node.config) $own (include "regproxy.tlsConfig" . | fromYaml) | toYaml -}}
{{- else -}}
{{- $cluster := include "regproxy.clusterConfig" . | fromYaml -}}
{{- mustMergeOverwrite (dict "workers" 1) $cluster (deepCopy .Values.node.config) $own (include "regproxy.tlsConfig" . | fromYaml) | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "regproxy.restricted" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The cache's container; `asks` tells whether it asks registries, and so has passwords; `fleet` whose member it is. */}}
{{- define "regproxy.container" -}}
{{- $root := .root -}}
- name: regproxy
  image: {{ include "regproxy.image" $root | quote }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy | quote }}
  args: [serve, --config, /etc/regproxy/config/regproxy.yaml]
  securityContext: {{- include "regproxy.restricted" $root | nindent 4 }}
  env:
    - {name: HOME, value: /tmp}
    - {name: TMPDIR, value: /tmp}
    {{- if .fleet.enabled }}
    - name: REGPROXY_FLEET_KEY
      valueFrom: {secretKeyRef: {name: {{ .fleet.existingSecret | quote }}, key: REGPROXY_FLEET_KEY}}
    {{- if eq .fleet.zone "auto" }}
    - name: REGPROXY_ZONE
      valueFrom: {fieldRef: {fieldPath: "metadata.labels['topology.kubernetes.io/zone']"}}
    {{- end }}
    {{- end }}
    {{- with $root.Values.extraEnv }}{{ toYaml . | nindent 4 }}{{- end }}
  {{- $behind := and .asks $root.Values.store.behind.url $root.Values.store.behind.existingSecret }}
  {{- if or (and .asks $root.Values.existingSecret) $behind $root.Values.extraEnvFrom }}
  envFrom:
    {{- if and .asks $root.Values.existingSecret }}
    - secretRef: {name: {{ $root.Values.existingSecret | quote }}}
    {{- end }}
    {{- with $behind }}
    - secretRef: {name: {{ . | quote }}}
    {{- end }}
    {{- with $root.Values.extraEnvFrom }}{{ toYaml . | nindent 4 }}{{- end }}
  {{- end }}
  ports: {{- toYaml .ports | nindent 4 }}
  startupProbe:
    httpGet: {{ toJson (merge (dict "path" "/readyz" "port" .adminPort) .probe) }}
    periodSeconds: 3
    failureThreshold: 60
  readinessProbe:
    httpGet: {{ toJson (merge (dict "path" "/readyz" "port" .adminPort) .probe) }}
    periodSeconds: 5
    timeoutSeconds: 3
  {{- if $root.Values.livenessProbe.enabled }}
  livenessProbe:
    httpGet: {{ toJson (merge (dict "path" "/healthz" "port" .adminPort) .probe) }}
    # Ended within a minute: pulls that wait for a cache that hangs go on to the registry only then. To drain is beyond it.
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 9
    terminationGracePeriodSeconds: 5
  {{- end }}
  resources: {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/regproxy/config, readOnly: true}
    - {name: store, mountPath: /var/lib/regproxy}
    - {name: tmp, mountPath: /tmp}
    {{- include "regproxy.secretMounts" . | nindent 4 }}
    {{- with $root.Values.extraVolumeMounts }}{{ toYaml . | nindent 4 }}{{- end }}
{{- end -}}

{{- define "regproxy.secretMounts" -}}
{{- if .root.Values.tls.existingSecret }}
- {name: tls, mountPath: /etc/regproxy/tls, readOnly: true}
{{- end }}
{{- range $name, $_ := .asks | ternary .root.Values.upstreamCredentials dict }}
- {name: {{ printf "credentials-%s" (sha256sum $name | trunc 12) }}, mountPath: /etc/regproxy/credentials/{{ sha256sum $name | trunc 12 }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "regproxy.volumes" -}}
- name: config
  configMap: {name: {{ .config | quote }}}
- name: tmp
  emptyDir: {}
{{- if .root.Values.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ .root.Values.tls.existingSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- range $name, $entry := .asks | ternary .root.Values.upstreamCredentials dict }}
- name: {{ printf "credentials-%s" (sha256sum $name | trunc 12) }}
  secret: {secretName: {{ $entry.existingSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "regproxy.podMeta" -}}
labels:
  {{- include "regproxy.selector" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component | quote }}
  {{- if or (eq .component "cluster") (eq .component "node") }}
  regproxy.io/metrics: "true"
  {{- end }}
  {{- with .root.Values.commonLabels }}{{ toYaml . | nindent 2 }}{{- end }}
  {{- with .root.Values.podLabels }}{{ toYaml . | nindent 2 }}{{- end }}
annotations:
  kubectl.kubernetes.io/default-container: regproxy
  {{- with .checksum }}
  checksum/config: {{ . | quote }}
  {{- end }}
  {{- with .root.Values.podAnnotations }}{{ toYaml . | nindent 2 }}{{- end }}
{{- end -}}

{{/* Where the node's runtime reaches the cache; the agent puts the node's address in the place of HOST_IP. */}}
{{- define "regproxy.endpoint" -}}
{{- if .Values.clientConfig.endpoint -}}{{ .Values.clientConfig.endpoint }}
{{- else if include "regproxy.hasNodes" . -}}
{{ include "regproxy.scheme" . }}://{{ .Values.node.hostIP | contains ":" | ternary (printf "[%s]" .Values.node.hostIP) .Values.node.hostIP }}:{{ .Values.node.port }}
{{- else -}}{{ include "regproxy.scheme" . }}://HOST_IP:{{ .Values.service.nodePort }}
{{- end -}}
{{- end -}}

{{/* Runs as root: what it writes is the node's own configuration. */}}
{{- define "regproxy.writer" -}}
- name: client-config
  image: {{ include "regproxy.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy | quote }}
  args:
    - node-config
    - {{ .action | quote }}
    - {{ .root.Values.clientConfig.runtime | quote }}
    - --root=/node
    {{- if eq .action "keep" }}
    - {{ printf "--endpoint=%s" (include "regproxy.endpoint" .root) | quote }}
    - --silence={{ int64 .root.Values.clientConfig.silence }}
    {{- range .root.Values.clientConfig.registries }}
    - {{ printf "--registry=%s" . | quote }}
    {{- end }}
    {{- if .root.Values.tls.existingSecret }}
    - --ca=/authority/ca.crt
    {{- end }}
    {{- end }}
    - --state=/tmp/state
  env:
    - name: HOST_IP
      valueFrom: {fieldRef: {fieldPath: status.hostIP}}
  securityContext:
    runAsUser: 0
    runAsGroup: 0
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL], add: [DAC_OVERRIDE, CHOWN, FOWNER]}
    seccompProfile: {type: RuntimeDefault}
  {{- if eq .action "undo" }}
  readinessProbe:
    exec: {command: [test, -e, /tmp/state]}
    periodSeconds: 2
  {{- end }}
  resources: {{- toYaml .root.Values.clientConfig.resources | nindent 4 }}
  volumeMounts:
    - {name: node, mountPath: /node}
    - {name: tmp, mountPath: /tmp}
    {{- if and (eq .action "keep") .root.Values.tls.existingSecret }}
    - {name: authority, mountPath: /authority, readOnly: true}
    {{- end }}
{{- end -}}

{{- define "regproxy.writerName" -}}
{{ include "regproxy.fullname" . }}-client-config
{{- end -}}

{{/* What the webhook needs of the configuration: names and rules of upstreams, no secret. */}}
{{- define "regproxy.admissionConfig" -}}
{{- $upstreams := dict -}}
{{- range $name, $entry := .Values.config.upstreams | default dict -}}
{{- $_ := set $upstreams $name (pick ($entry | default dict) "aliases" "serve_as" "deny" "freeze") -}}
{{- if hasKey ($entry | default dict) "hosts" -}}
{{- $_ := set (index $upstreams $name) "hosts" (list (dict "url" (printf "https://%s" $name))) -}}
{{- end -}}
{{- end -}}
{{- merge (dict "upstreams" $upstreams) (pick .Values.config "default_upstream" "log_level") | toYaml -}}
{{- end -}}

{{- define "regproxy.webhook" -}}
name: {{ .name }}.regproxy.io
admissionReviewVersions: [v1]
sideEffects: None
timeoutSeconds: 2
failurePolicy: {{ .root.Values.admission.failurePolicy | quote }}
clientConfig:
  service: {namespace: {{ .root.Release.Namespace | quote }}, name: {{ .service | quote }}, path: {{ .path | quote }}, port: 443}
  {{- with .ca }}
  caBundle: {{ . | quote }}
  {{- end }}
# Pods alone: what controls them stays as it was written, and can be rolled back. A running one may be given other images.
rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE, UPDATE], scope: Namespaced}
  - {apiGroups: [""], apiVersions: [v1], resources: [pods/ephemeralcontainers], operations: [UPDATE], scope: Namespaced}
namespaceSelector:
  {{- with .root.Values.admission.namespaceSelector.matchLabels }}
  matchLabels: {{- toYaml . | nindent 4 }}
  {{- end }}
  matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, {{ .root.Release.Namespace | quote }}]}
    {{- with .root.Values.admission.namespaceSelector.matchExpressions }}{{ toYaml . | nindent 4 }}{{- end }}
{{- end -}}

{{- define "regproxy.undoJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}-{{ .what }}
  labels: {{- include "regproxy.labels" .root | nindent 4 }}
  annotations: {helm.sh/hook: pre-delete, helm.sh/hook-weight: {{ .weight | quote }}, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
spec:
  backoffLimit: 0
  template:
    metadata: {{- include "regproxy.podMeta" (dict "root" .root "component" (printf "undo-%s" .what)) | nindent 6 }}
    spec:
      serviceAccountName: {{ .name | quote }}
      automountServiceAccountToken: true  # it asks the API server how far the DaemonSets are
      enableServiceLinks: false
      restartPolicy: Never
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      tolerations:
        - operator: Exists
      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: regproxy
          image: {{ include "regproxy.image" .root | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy | quote }}
          args: {{- toYaml (concat (list "node-config") .arguments (list (printf "--namespace=%s" .root.Release.Namespace) (printf "--timeout=%d" (div (int .root.Values.clientConfig.undoTimeout) 2)))) | nindent 12 }}
          securityContext: {{- include "regproxy.restricted" .root | nindent 12 }}
          resources: {{- toYaml .root.Values.clientConfig.resources | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: tmp
          emptyDir: {}
{{- end -}}
