{{/*
Names and labels. Every helper of the chart begins with "fraud-platform.": helpers are global to parent and subcharts.
Each takes (dict "root" $ "component" "scoring"); a subchart's own root knows .Values.global and .Release too.
*/}}

{{/*
Name of an object: the release's, then the component's. At most 52 characters, so that what controllers append (pods of a
StatefulSet, Jobs of a CronJob) fits 63; a part that is cut keeps a hash of the whole.
*/}}
{{- define "fraud-platform.name" -}}
{{- $base := .root.Values.global.fullnameOverride | default .root.Release.Name | replace "." "-" -}}
{{- $room := sub 51 (len .component) | int -}}
{{- if gt (len $base) $room -}}
{{- $base = printf "%s-%s" (trunc (sub $room 7 | int) $base | trimSuffix "-") (sha256sum $base | trunc 6) -}}
{{- end -}}
{{- printf "%s-%s" $base .component -}}
{{- end -}}

{{- define "fraud-platform.selectorLabels" -}}
app.kubernetes.io/name: fraud-platform
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "fraud-platform.labels" -}}
{{ include "fraud-platform.selectorLabels" . }}
app.kubernetes.io/part-of: fraud-platform
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: fraud-platform-{{ .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* metadata of an object: (dict "root" $ "component" "scoring"), and "name" where the object's differs. */}}
{{- define "fraud-platform.metadata" -}}
name: {{ .name | default (include "fraud-platform.name" .) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "fraud-platform.labels" . | nindent 2 }}
{{- end -}}

{{/* Image of (dict "root" $ "repository" .. "tag" ..). A repository that begins with a host names its registry itself. */}}
{{- define "fraud-platform.image" -}}
{{- $registry := ternary "" .root.Values.global.images.registry (regexMatch "^(localhost|[^/]*[.:][^/]*)/" .repository) -}}
{{- $name := ternary (printf "%s/%s" (trimSuffix "/" $registry) .repository) .repository (ne $registry "") -}}
{{- if contains "@" $name -}}{{ $name }}{{- else -}}{{ printf "%s:%s" $name (.tag | default .root.Chart.AppVersion) }}{{- end -}}
{{- end -}}

{{/* Image of one of global.images: (dict "root" $ "image" "workers"). */}}
{{- define "fraud-platform.commonImage" -}}
{{- $image := index .root.Values.global.images .image -}}
{{- include "fraud-platform.image" (dict "root" .root "repository" $image.repository "tag" $image.tag) -}}
{{- end -}}

{{/* Secret that the chart makes at the first install. */}}
{{- define "fraud-platform.secretName" -}}
{{- include "fraud-platform.name" (dict "root" . "component" "secrets") -}}
{{- end -}}

{{/* A value of a secret: (dict "root" $ "existing" name or "" "key" ..); the chart's own secret when there is no other. */}}
{{- define "fraud-platform.secretReference" -}}
valueFrom:
  secretKeyRef:
    name: {{ .existing | default (include "fraud-platform.secretName" .root) }}
    key: {{ .key }}
{{- end -}}

{{/* Selector of a component's pods in a network policy; scoring means both sides of a rollout. */}}
{{- define "fraud-platform.podSelector" -}}
{{- if eq .component "scoring" -}}
matchLabels:
  app.kubernetes.io/name: fraud-platform
  app.kubernetes.io/instance: {{ .root.Release.Name }}
  fraud-platform/serves: transactions
{{- else -}}
matchLabels:
  {{- include "fraud-platform.selectorLabels" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* "true" when the chart runs Prometheus itself. Takes the parent's root. */}}
{{- define "fraud-platform.ownMonitoring" -}}
{{- if or (eq .Values.monitoring.kind "own") (and (eq .Values.monitoring.kind "auto") (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor"))) }}true{{ end -}}
{{- end -}}
