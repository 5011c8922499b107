{{/* Parts of admission.yaml. */}}
{{- define "openos.policyTail" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "openos.partLabels" (dict "root" .root "component" "admission") | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end }}
{{- /* Condition: the request comes from the operator. */}}
{{- define "openos.isOperator" -}}
request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:openos-controller'
{{- end }}
{{- /* Condition: it comes neither from the operator nor from a break-glass group. */}}
{{- define "openos.isUntrusted" -}}
!({{ include "openos.isOperator" . }}) &&
!(has(request.userInfo.groups) && request.userInfo.groups.exists(group, group in {{ .Values.admission.breakGlassGroups | toJson | replace "\"" "'" }}))
{{- end }}
{{- /* A map of the metadata before and after; call with "labels" or "annotations". */}}
{{- define "openos.beforeAndAfter" -}}
- name: {{ . }}
  expression: "has(object.metadata.{{ . }}) ? object.metadata.{{ . }} : {}"
- name: {{ . }}Before
  expression: "oldObject != null && has(oldObject.metadata.{{ . }}) ? oldObject.metadata.{{ . }} : {}"
{{- end }}
{{- /* Whether every key for which `which` holds is as it was; call with (dict "of" "labels" "which" "…"). */}}
{{- define "openos.unchanged" -}}
variables.{{ .of }}.all(key, !({{ .which }}) || (key in variables.{{ .of }}Before && variables.{{ .of }}Before[key] == variables.{{ .of }}[key])) &&
variables.{{ .of }}Before.all(key, !({{ .which }}) || key in variables.{{ .of }})
{{- end }}
