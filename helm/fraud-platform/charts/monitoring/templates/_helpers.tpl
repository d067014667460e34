{{/* "true" when a Prometheus operator watches, so that its objects are made. Takes the root. */}}
{{- define "fraud-platform.monitoring.operated" -}}
{{- if or (eq .Values.kind "operator") (and (eq .Values.kind "auto") (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor")) }}true{{ end -}}
{{- end -}}

{{/* Rules of Prometheus, with links to where runbooks are. Takes the root. */}}
{{- define "fraud-platform.monitoring.rules" -}}
{{- .Values.rules | default (.Files.Get "files/rules.yaml") | replace "runbook_url: docs/runbooks/" (printf "runbook_url: %s/" (trimSuffix "/" .Values.runbooksUrl)) -}}
{{- end -}}

{{/* Service of one port: (dict "root" $ "component" .. "port" 9090). */}}
{{- define "fraud-platform.monitoring.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "fraud-platform.metadata" . | nindent 2 }}
spec:
  selector:
    {{- include "fraud-platform.selectorLabels" . | nindent 4 }}
  ports: [{name: http, port: {{ .port }}, targetPort: http, appProtocol: http}]
{{- end -}}

{{/* Begin of a Deployment of one pod up to its containers: (dict "root" $ "component" .. "checksum" .. "user" ..). */}}
{{- define "fraud-platform.monitoring.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "fraud-platform.metadata" . | nindent 2 }}
spec:
  replicas: 1
  revisionHistoryLimit: 5
  strategy: {type: Recreate}
  selector:
    matchLabels:
      {{- include "fraud-platform.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      {{- include "fraud-platform.podMetadata" . | nindent 6 }}
    spec:
      {{- include "fraud-platform.pod" (merge (dict "terminationSeconds" 30) .) | nindent 6 }}
{{- end -}}
