{{/*
There is one operator in a cluster (its CRDs are the cluster's), so names are fixed, not made
of the release's name.
*/}}
{{- define "openos.fullname" -}}
openos-controller
{{- end }}

{{/* Labels of the controller's objects. */}}
{{- define "openos.labels" -}}
{{ include "openos.partLabels" (dict "root" . "component" "controller") }}
{{- end }}

{{/* Labels of every object. Call with (dict "root" $ "component" "postgres"). */}}
{{- define "openos.partLabels" -}}
{{ include "openos.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: openos
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "openos.selector" -}}
app.kubernetes.io/name: openos
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* repository:tag or repository@digest of an image value. */}}
{{- define "openos.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}
{{- end }}

{{/* Pod Security "restricted" for a pod; call with the numeric user. */}}
{{- define "openos.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The same for a container. */}}
{{- define "openos.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Name of the Secret that holds a server's url; call with (dict "server" .Values.postgres "name" "openos-postgres"). */}}
{{- define "openos.secretName" -}}
{{ .server.existingSecret.name | default .name }}
{{- end }}

{{/* Key of the url in that Secret. */}}
{{- define "openos.secretKey" -}}
{{ if .existingSecret.name }}{{ .existingSecret.key }}{{ else }}url{{ end }}
{{- end }}

{{/* Bytes JetStream may fill: 80 % of the embedded server's volume. */}}
{{- define "openos.natsFileStore" -}}
{{ div (mul (trimSuffix "Gi" .Values.nats.storage.size | int64) 1073741824 8) 10 }}
{{- end }}

{{/* Labels of pods: nothing that changes with the chart's version, or each upgrade would restart the servers. */}}
{{- define "openos.podLabels" -}}
{{ include "openos.selector" . }}
app.kubernetes.io/part-of: openos
{{- end }}

{{/* Environment of every command of the image. */}}
{{- define "openos.commonEnv" -}}
- name: OPENOS_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: OPENOS_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: OPENOS_LOG_LEVEL
  value: {{ .Values.controller.logLevel }}
- name: OPENOS_LEASE_NAME
  value: {{ include "openos.fullname" . }}
{{- end }}

{{/* Environment of the controller and of `openos migrate`. */}}
{{- define "openos.env" -}}
{{ include "openos.commonEnv" . }}
- name: OPENOS_HTTP_PORT
  value: "8080"
- name: OPENOS_WORKERS
  value: {{ .Values.controller.workers | quote }}
- name: OPENOS_TENANT_PROTECTION
  value: {{ .Values.controller.tenantProtection }}
- name: OPENOS_DEFAULT_RUNTIME_CLASS
  value: {{ .Values.runtimeClass.name }}
- name: OPENOS_STREAM_REPLICAS
  value: {{ .Values.events.streamReplicas | quote }}
- name: OPENOS_STREAM_SYNC
  value: {{ ternary "always" .Values.events.streamSync .Values.nats.embedded }}
- name: OPENOS_STREAM_MAX_AGE
  value: {{ .Values.events.maxAge }}
- name: OPENOS_STREAM_MAX_BYTES
  value: {{ int64 .Values.events.maxBytes | quote }}
{{- with .Values.events.requiredConsumers }}
- name: OPENOS_REQUIRED_CONSUMERS
  value: {{ join "," . | quote }}
{{- end }}
- name: OPENOS_RETENTION_EVENTS
  value: {{ .Values.retention.events }}
- name: OPENOS_RETENTION_TRANSITIONS
  value: {{ .Values.retention.transitions }}
- name: OPENOS_RETENTION_AUDIT
  value: {{ .Values.retention.audit }}
- name: OPENOS_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "openos.secretName" (dict "server" .Values.postgres "name" "openos-postgres") }}
      key: {{ include "openos.secretKey" .Values.postgres }}
- name: OPENOS_NATS_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "openos.secretName" (dict "server" .Values.nats "name" "openos-nats") }}
      key: {{ include "openos.secretKey" .Values.nats }}
{{- with .Values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* What no schema can say: combinations of values. */}}
{{- define "openos.check" -}}
{{- range $name := list "postgres" "nats" }}
{{- $server := index $.Values $name }}
{{- if and (not $server.embedded) (not $server.url) (not $server.existingSecret.name) }}
{{- fail (printf "%s.embedded is false: set %s.url or %s.existingSecret.name to say which server to use" $name $name $name) }}
{{- end }}
{{- if and $server.url $server.existingSecret.name }}
{{- fail (printf "%s.url and %s.existingSecret.name are both set: set one of them" $name $name) }}
{{- end }}
{{- if and $server.embedded $server.url }}
{{- fail (printf "%s.url is set and %s.embedded is true: set %s.embedded=false to use your own server" $name $name $name) }}
{{- end }}
{{- end }}
{{- if and .Values.nats.embedded (gt (int64 .Values.events.maxBytes) (int64 (include "openos.natsFileStore" .))) }}
{{- fail (printf "events.maxBytes (%d) does not fit into 80 %% of nats.storage.size (%s): lower the one or raise the other" (int64 .Values.events.maxBytes) .Values.nats.storage.size) }}
{{- end }}
{{- if and .Values.nats.embedded (gt (int .Values.events.streamReplicas) 1) }}
{{- fail "events.streamReplicas is more than 1, but nats.embedded runs one server: set it to 1 or use your own NATS cluster" }}
{{- end }}
{{- end }}

{{/* Annotations of what runs before uninstall; call with the weight. A failed Job stays to be looked at until the next try. */}}
{{- define "openos.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* A password as part of a url: generated ones need no encoding, but somebody may have put another into the Secret. */}}
{{- define "openos.urlEncoded" -}}
{{ urlquery . | replace "+" "%20" }}
{{- end }}
